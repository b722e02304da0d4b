"""Two stacks whose metrics one Prometheus of an operator may scrape."""

import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import kubernetes
import pytest

from contracts.metadata import Manifest, labels
from stack.deploy.shared_metrics import shared_metrics_warnings
from tests.support.answering import answering

_OPERATED: Final = {"release": "kube-prometheus-stack"}


def monitor(name: str, selected_by: dict[str, str] = _OPERATED, kind: str = "PodMonitor") -> Manifest:
    return {"kind": kind, "metadata": {"name": name, "labels": {**labels(name, "metrics"), **selected_by}}}


class ApiServer:
    """Answers with the objects of other namespaces that have the labels of the request."""

    def __init__(self) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {"podmonitors": [], "prometheusrules": []}
        self.status = 200

    def answer(self, path: str) -> tuple[int, str]:
        url = urlsplit(path)
        (selector,) = parse_qs(url.query)["labelSelector"]
        asked = dict(part.split("=") for part in selector.split(","))
        kind = url.path.rpartition("/")[2]
        items = [item for item in self.objects[kind] if asked.items() <= item["metadata"]["labels"].items()]
        return self.status, json.dumps({"items": items})

    def add(self, kind: str, namespace: str, manifest: Manifest) -> None:
        metadata = {**manifest["metadata"], "namespace": namespace}
        self.objects[kind].append({**manifest, "metadata": metadata})


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


@pytest.fixture
def client(server: ApiServer) -> Iterator[kubernetes.client.ApiClient]:
    with answering("application/json", server.answer) as client:
        yield client


def test_another_stack_with_the_same_labels_is_named(server: ApiServer, client: kubernetes.client.ApiClient) -> None:
    own = [monitor("gateway"), monitor("rules", kind="PrometheusRule")]
    server.add("podmonitors", "tracing", monitor("gateway"))
    server.add("podmonitors", "staging", monitor("gateway"))
    server.add("prometheusrules", "dev", monitor("rules"))
    (line,) = shared_metrics_warnings(client, "tracing", own)
    assert "namespace dev, staging has objects with the same labels" in line


def test_other_labels_and_other_projects_are_no_problem(server: ApiServer, client: kubernetes.client.ApiClient) -> None:
    server.add("podmonitors", "tracing", monitor("gateway"))
    server.add("podmonitors", "staging", monitor("gateway", {"release": "second"}))
    other = {"metadata": {"name": "theirs", "labels": {"app.kubernetes.io/part-of": "theirs", **_OPERATED}}}
    server.add("podmonitors", "theirs", other)
    assert shared_metrics_warnings(client, "tracing", [monitor("gateway")]) == []


def test_without_the_right_to_list_there_is_no_warning(server: ApiServer, client: kubernetes.client.ApiClient) -> None:
    server.add("podmonitors", "staging", monitor("gateway"))
    server.status = 403
    assert shared_metrics_warnings(client, "tracing", [monitor("gateway")]) == []


def test_a_stack_with_its_own_prometheus_asks_nothing(client: kubernetes.client.ApiClient) -> None:
    assert shared_metrics_warnings(client, "tracing", [{"kind": "Deployment", "metadata": {"name": "gateway"}}]) == []
