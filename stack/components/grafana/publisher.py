"""The publisher: a pod that writes the dashboards through the API of a Grafana that the stack did not build.

A pod, and not a Job: a Job runs once, and cannot be changed. And not the program that deploys: the token would leave
the cluster, and manifests for GitOps have no program.
"""

import json
from typing import Any, Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, http, secret_keys
from contracts.metadata import SKIP_AWAIT
from dashboards.catalog import folder_uid
from dashboards.datasources import of_api
from dashboards.names import DATASOURCES
from stack.components.encryption.proxy.pod import listen_variables, protect
from stack.components.grafana.args import GrafanaArgs
from stack.components.grafana.folders import COMPONENT, folder_files
from stack.components.shared.environment import secret_variable, variables
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Container, Pod
from stack.components.shared.probes import Probes, http_probe
from stack.components.shared.storage import Storage
from stack.components.shared.workload import deployment

_UID: Final = 10001
_ROOT: Final = "/etc/publisher"
_FILE: Final = "content.json"


class GrafanaPublisher(pulumi.ComponentResource):
    """One pod, and the ConfigMaps with what it writes."""

    content: pulumi.Output[str]
    """Name of the ConfigMap with the datasources and the list of the folders."""

    def __init__(self, name: str, args: GrafanaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:GrafanaPublisher", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        assert args.settings.external
        size = args.settings.external.api
        assert size
        assert args.image
        document = args.content.datasources().apply(lambda datasources: json.dumps(_document(args, datasources)))
        made = config_map("grafana-content", COMPONENT, args.namespace, {_FILE: document}, child)
        folders = args.content.folders()
        pod = Pod(
            name=endpoints.GRAFANA_PUBLISHER,
            component=COMPONENT,
            user=_UID,
            container=Container(
                image=args.image,
                size=size,
                ports={"http": endpoints.SERVICE_PORT},
                command=["python3", "-m", "stack.publisher"],
                env=_environment(args),
            ),
            storage=Storage(
                config_maps={
                    f"{_ROOT}/content": made.metadata.name,
                    **{_path(title): folder_files(args, title, child) for title in folders},
                },
                configuration=[document, folders],
            ),
            probes=Probes(
                readiness=http_probe(http.READY, endpoints.SERVICE_PORT),
                liveness=http_probe(http.LIVE, endpoints.SERVICE_PORT),
            ),
        )
        pod = protect(pod, args.protection, child)
        # An unavailable Grafana must not stop a deployment of the services.
        deployment(pod, args.namespace, 1, child, annotations=SKIP_AWAIT)
        self.content = made.metadata.name
        self.register_outputs({"content": self.content})


def _path(title: str) -> str:
    return f"{_ROOT}/{title.lower()}"


def _document(args: GrafanaArgs, datasources: dict[str, Any]) -> dict[str, Any]:
    """Return the file that `stack.publisher.content` reads."""
    names = args.content.monitoring.names
    return {
        "datasources": of_api(datasources),
        "possible_datasources": [names.uid(uid) for uid in DATASOURCES],
        "folders": [
            {"uid": names.uid(folder_uid(title)), "title": names.title(title), "path": _path(title)}
            for title in args.content.folders()
        ],
    }


def _environment(args: GrafanaArgs) -> list[k8s.core.v1.EnvVarArgs]:
    external = args.settings.external
    assert external
    return [
        *listen_variables(args.protection),
        *variables(
            PORT=endpoints.SERVICE_PORT,
            GRAFANA_URL=args.settings.api_url,
            CONTENT_FILE=f"{_ROOT}/content/{_FILE}",
            **({"GRAFANA_CA": external.ca} if external.ca else {}),
        ),
        secret_variable("GRAFANA_TOKEN", secret_keys.GRAFANA_TOKEN, args.secret),
        *args.content.variables(args.secret),
    ]
