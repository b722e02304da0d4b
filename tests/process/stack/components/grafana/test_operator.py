"""The Grafana Operator, where its program is on PATH and its kinds are in a folder, and a real Grafana of others."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import kubernetes
import pytest

from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from contracts import secret_keys
from stack.polling import poll_until
from tests.support.api_server import ApiServer, running
from tests.support.external_grafana import ALL, Objects, built, check, provide_datasources
from tests.support.foreign_kinds import apply_strictly, create_namespace, installed_kinds
from tests.support.grafana import YourGrafana, your_grafana
from tests.support.programs import require_program

_NAMESPACE: Final = "tracing"
_THEIRS: Final = "monitoring"
_TRACES: Final = {
    "external": {
        "otlpUrl": "https://tempo.example.com:4317",
        "queryUrl": "https://tempo.example.com",
        "authorizeQueries": True,
    }
}


@dataclass(frozen=True, kw_only=True)
class Operated:
    """A Grafana with its operator, and the API server that it watches."""

    grafana: YourGrafana
    server: ApiServer

    def apply(self, objects: Objects) -> None:
        """Apply what the stack has for the operator, and the Secret with the stores' credentials."""
        made = [item for (_, name), item in objects.items() if name.startswith(("grafana-", "tracing-"))]
        for item in (*made, objects["Secret", secret_keys.SECRET]):
            item["metadata"]["namespace"] = _NAMESPACE
            apply_strictly(self.server.client, _NAMESPACE, [item])


@pytest.fixture
def operated(tmp_path: Path) -> Iterator[Operated]:
    program = require_program("grafana-operator")
    provide_datasources(tmp_path / "provisioning")
    (tmp_path / "kubernetes").mkdir()
    with (
        running(tmp_path / "kubernetes") as server,
        installed_kinds(server.client, {"grafana.integreatly.org"}),
        your_grafana(tmp_path / "provisioning") as grafana,
    ):
        for namespace in (_NAMESPACE, _THEIRS):
            create_namespace(server.client, namespace)
        apply_strictly(server.client, _THEIRS, _grafana_objects(grafana))
        health = f"127.0.0.1:{free_port()}"
        command: list[str | Path] = [program, f"--health-probe-bind-address={health}", "--metrics-bind-address=0"]
        environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig)}
        operator = ServerProcess(
            "grafana-operator", command, tmp_path, lambda: answers(f"http://{health}/readyz"), environment
        )
        try:
            operator.start()
            yield Operated(grafana=grafana, server=server)
        finally:
            operator.kill()


def _grafana_objects(grafana: YourGrafana) -> list[dict[str, object]]:
    def key(name: str) -> dict[str, str]:
        return {"name": "admin", "key": name}

    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "admin"},
            "stringData": {"user": "admin", "password": grafana.password},
        },
        {
            "apiVersion": "grafana.integreatly.org/v1beta1",
            "kind": "Grafana",
            "metadata": {"name": "grafana", "labels": {"dashboards": "grafana"}},
            "spec": {"external": {"url": grafana.url, "adminUser": key("user"), "adminPassword": key("password")}},
        },
    ]


def test_grafana_has_what_the_operator_writes(operated: Operated) -> None:
    grafana = operated.grafana
    objects = built({"operator": {"instanceSelector": {"dashboards": "grafana"}}}, traces=_TRACES)
    operated.apply(objects)
    poll_until("the folders", lambda: len(grafana.read("folders")) == 2, seconds=120)
    poll_until("the datasources", lambda: len(grafana.read("datasources")) == 2 + len(ALL), seconds=120)
    check(grafana, objects, ALL)
    traces = grafana.read("datasources/uid/tracing-traces")
    assert traces["secureJsonFields"] == {"httpHeaderValue1": True}
    api = kubernetes.client.CustomObjectsApi(operated.server.client)
    group = ("grafana.integreatly.org", "v1beta1", _NAMESPACE)
    api.delete_namespaced_custom_object(*group, "grafanadatasources", "tracing-alertmanager")
    poll_until("no Alertmanager", lambda: grafana.read("datasources/uid/tracing-alertmanager") is None, seconds=60)
    api.delete_namespaced_custom_object(*group, "grafanadashboards", "tracing-services")
    poll_until("no dashboard", lambda: grafana.read("dashboards/uid/tracing-services") is None, seconds=60)
