"""The sidecar containers of the Helm chart `grafana`, where their program is on PATH, and a real Grafana."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import kubernetes
import pytest

from checks.harness.ports import free_port
from checks.harness.server import ServerProcess
from stack.polling import poll_until
from tests.support.api_server import ApiServer
from tests.support.external_grafana import ALL, Objects, built, check, provide_dashboards, provide_datasources
from tests.support.foreign_kinds import apply_strictly, create_namespace
from tests.support.grafana import YourGrafana, your_grafana
from tests.support.programs import require_program

_NAMESPACE: Final = "sidecar-test"


@dataclass(frozen=True, kw_only=True)
class Sidecars:
    """A Grafana with both sidecars, and the API server that they watch."""

    grafana: YourGrafana
    server: ApiServer

    def apply(self, objects: Objects) -> None:
        """Apply what the stack has for the sidecars."""
        manifests = [item for (_, name), item in objects.items() if name.startswith("grafana-")]
        assert {item["kind"] for item in manifests} == {"ConfigMap", "Secret"}
        for item in manifests:
            item["metadata"]["namespace"] = _NAMESPACE
        apply_strictly(self.server.client, _NAMESPACE, manifests)


@pytest.fixture
def sidecars(server: ApiServer, tmp_path: Path) -> Iterator[Sidecars]:
    program = require_program("k8s-sidecar")
    provisioning, dashboards = tmp_path / "provisioning", tmp_path / "dashboards"
    provide_datasources(provisioning)
    provide_dashboards(provisioning, dashboards)
    dashboards.mkdir()
    create_namespace(server.client, _NAMESPACE)
    with your_grafana(provisioning) as grafana:
        processes = []
        try:
            for kind, folder in (("dashboard", dashboards), ("datasource", provisioning / "datasources")):
                directory = tmp_path / kind
                directory.mkdir()
                variables = _variables(kind, folder, grafana, server)
                process = ServerProcess("k8s-sidecar", [program], directory, environment=variables)
                processes.append(process)
                process.start()
            yield Sidecars(grafana=grafana, server=server)
        finally:
            for process in processes:
                process.kill()
            kubernetes.client.CoreV1Api(server.client).delete_namespace(_NAMESPACE)


def _variables(kind: str, folder: Path, grafana: YourGrafana, server: ApiServer) -> Mapping[str, str]:
    """Return those that the chart sets, with the values of `components/grafana/README.md`."""
    return {
        "KUBECONFIG": str(server.kubeconfig),
        "METHOD": "WATCH",
        "LABEL": f"grafana_{kind}",
        "LABEL_VALUE": "1",
        "FOLDER": str(folder),
        "FOLDER_ANNOTATION": "grafana_folder",
        "RESOURCE": "both",
        "NAMESPACE": "ALL",
        "REQ_URL": f"{grafana.url}/api/admin/provisioning/{kind}s/reload",
        "REQ_METHOD": "POST",
        "REQ_USERNAME": "admin",
        "REQ_PASSWORD": grafana.password,
        "HEALTH_PORT": str(free_port()),
    }


def test_grafana_has_what_the_sidecars_copy(sidecars: Sidecars) -> None:
    grafana, objects = sidecars.grafana, built({"sidecar": {}})
    sidecars.apply(objects)
    poll_until("the folders", lambda: len(grafana.read("folders")) == 2, seconds=60)
    poll_until("the datasources", lambda: len(grafana.read("datasources")) == 2 + len(ALL), seconds=60)
    check(grafana, objects, ALL)
    sidecars.apply(built({"sidecar": {}}, alerting={"enabled": False}))
    poll_until("no Alertmanager", lambda: grafana.read("datasources/uid/tracing-alertmanager") is None, seconds=60)
    assert grafana.read("datasources/uid/alertmanager")
    core = kubernetes.client.CoreV1Api(sidecars.server.client)
    core.delete_namespaced_config_map("grafana-runbooks", _NAMESPACE)
    poll_until("no runbooks", lambda: grafana.read("dashboards/uid/tracing-runbook-servicedown") is None, seconds=60)
    assert grafana.read("dashboards/uid/tracing-services")
