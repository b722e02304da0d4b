"""Objects of the Grafana Operator, which brings them into a Grafana that the stack did not build."""

from typing import Any, Final

import pulumi
import pulumi_kubernetes as k8s

from contracts.metadata import SKIP_AWAIT
from dashboards.catalog import folder_uid
from dashboards.datasources import of_api
from stack.components.grafana.args import GrafanaArgs
from stack.components.grafana.folders import COMPONENT, folder_files
from stack.components.shared.object_meta import object_meta
from stack.components.shared.store import QueryAccess

API_VERSION: Final = "grafana.integreatly.org/v1beta1"


class GrafanaObjects(pulumi.ComponentResource):
    """A `GrafanaDatasource` for each store, a `GrafanaFolder` for each folder, a `GrafanaDashboard` for each page."""

    folders: pulumi.Output[list[str]]
    """Names of the folders' objects."""

    def __init__(self, name: str, args: GrafanaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:GrafanaObjects", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        names = args.content.monitoring.names
        # The operator puts the secret in the place of its key.
        document = args.content.datasources({key: f"${key}" for key in args.content.authorizations().values()})
        for uid in args.content.uids():
            _create("GrafanaDatasource", names.uid(uid), _datasource(uid, document, args), args, child)
        folders = args.content.folders()
        for title, files in folders.items():
            folder = names.uid(folder_uid(title))
            _create("GrafanaFolder", folder, {"uid": folder, "title": names.title(title)}, args, child)
            config_map = folder_files(args, title, child)
            for file in files:
                page = file.removesuffix(".json")
                spec = {"uid": page, "folderRef": folder, "configMapRef": {"name": config_map, "key": file}}
                _create("GrafanaDashboard", page, spec, args, child)
        self.folders = pulumi.Output.from_input([names.uid(folder_uid(title)) for title in folders])
        self.register_outputs({"folders": self.folders})


def _create(kind: str, name: str, spec: dict[str, Any], args: GrafanaArgs, opts: pulumi.ResourceOptions) -> None:
    assert args.settings.external
    operator = args.settings.external.operator
    assert operator
    shared = {
        "instanceSelector": {"matchLabels": operator.instance_selector},
        # The operator's Grafana is in a namespace of its own.
        "allowCrossNamespaceImport": True,
    }
    k8s.apiextensions.CustomResource(
        f"{kind.lower()}-{name}",
        api_version=API_VERSION,
        kind=kind,
        metadata=object_meta(name, args.namespace, component=COMPONENT, annotations=SKIP_AWAIT),
        spec={**shared, **spec},
        opts=opts,
    )


def _datasource(uid: str, document: pulumi.Output[dict[str, Any]], args: GrafanaArgs) -> dict[str, Any]:
    name = args.content.monitoring.names.uid(uid)

    def fields(document: dict[str, Any]) -> dict[str, Any]:
        (source,) = (source for source in of_api(document) if source["uid"] == name)
        return {key: value for key, value in source.items() if key != "uid"}

    access = args.content.access().get(uid, QueryAccess())
    spec: dict[str, Any] = {"uid": name, "datasource": document.apply(fields)}
    if access.authorization:
        reference = {"secretKeyRef": {"name": args.secret, "key": access.authorization}}
        path = f"secureJsonData.{access.authorization_field}"
        spec["valuesFrom"] = [{"targetPath": path, "valueFrom": reference}]
    return spec
