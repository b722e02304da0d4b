"""Files for the sidecar containers of a Grafana that the stack did not build: they copy what has their labels."""

import pulumi
import pulumi_kubernetes as k8s
import yaml

from stack.components.grafana.args import GrafanaArgs
from stack.components.grafana.folders import COMPONENT, folder_files
from stack.components.shared.object_meta import object_meta


class SidecarFiles(pulumi.ComponentResource):
    """A ConfigMap for each folder, and a Secret with the datasources, which may hold credentials."""

    datasources: pulumi.Output[str]
    """Name of the Secret."""

    def __init__(self, name: str, args: GrafanaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:SidecarFiles", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        assert args.settings.external
        settings = args.settings.external.sidecar
        assert settings
        names = args.content.monitoring.names
        for title in args.content.folders():
            folder = {settings.folder_annotation: names.title(title)}
            folder_files(args, title, child, annotations=folder, extra_labels=settings.dashboard_labels)
        secret = k8s.core.v1.Secret(
            "grafana-datasources",
            metadata=object_meta(
                "grafana-datasources",
                args.namespace,
                component=COMPONENT,
                extra_labels=settings.datasource_labels,
            ),
            # The sidecar keeps the files of all stacks in one folder.
            string_data={f"{names.uid('datasources')}.yaml": _datasources(args)},
            opts=child,
        )
        self.datasources = secret.metadata.name
        self.register_outputs({"datasources": self.datasources})


def _datasources(args: GrafanaArgs) -> pulumi.Output[str]:
    keys = args.content.authorizations().values()
    values = {key: args.secrets[key].apply(literal) for key in keys}
    return args.content.datasources(values).apply(lambda document: yaml.safe_dump(document, sort_keys=False))


def literal(value: str) -> str:
    """Return a text as Grafana's files have it, which expand variables.

    A reference such as `${metricsQueryAuthorization}`, which manifests for GitOps have, stays as it is.

    >>> literal("Bearer a$b")
    'Bearer a$$b'
    """
    return value if value.startswith("${") else value.replace("$", "$$")
