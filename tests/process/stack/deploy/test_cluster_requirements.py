"""What a stack needs of its cluster is checked before anything is changed."""

import json
from collections.abc import Iterator

import kubernetes
import pytest

from contracts.metadata import Manifest
from stack.deploy.cluster_requirements import metrics_warnings, require_classes, require_kinds
from stack.errors import DeployError
from stack.kubernetes.settings import Cluster
from tests.support.answering import answering

ANSWERS = {"known": 200, "unknown": 404, "hidden": 403, "broken": 500, "v1beta1": 404, "v1": 200, "v2": 404, "v3": 503}


def answer(path: str) -> tuple[int, str]:
    """Answers as an API server whose status for a class, or a version of an API, depends on its name."""
    body = {"metadata": {"name": "x"}, "value": 1, "provisioner": "x", "groupVersion": "x/v1", "resources": []}
    if path.startswith("/apis/gateway.networking.k8s.io/"):
        resource = {"kind": "HTTPRoute", "name": "httproutes", "namespaced": True, "singularName": "", "verbs": ["get"]}
        body["resources"] = [resource]
    return ANSWERS[path.rpartition("/")[2]], json.dumps(body)


@pytest.fixture(scope="module")
def client() -> Iterator[kubernetes.client.ApiClient]:
    with answering("application/json", answer) as client:
        yield client


def cluster(*, storage: str | None = None, tasks: str | None = None) -> Cluster:
    return Cluster.model_validate({"context": "c", "storageClass": storage, "priorityClasses": {"tasks": tasks}})


def test_a_class_that_exists_or_may_not_be_read_is_accepted(client: kubernetes.client.ApiClient) -> None:
    require_classes(client, cluster())
    require_classes(client, cluster(storage="known", tasks="known"))
    require_classes(client, cluster(storage="hidden", tasks="hidden"))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (cluster(storage="unknown"), r"cluster\.storageClass: .*'c' has no 'unknown'; nothing was changed"),
        (cluster(tasks="unknown"), r"cluster\.priorityClasses\.tasks: .*has no 'unknown'"),
        (cluster(tasks="broken"), r"cluster\.priorityClasses\.tasks: 'broken' cannot be read"),
    ],
)
def test_a_missing_class_is_named(client: kubernetes.client.ApiClient, settings: Cluster, text: str) -> None:
    with pytest.raises(DeployError, match=text):
        require_classes(client, settings)


def route(version: str, kind: str = "HTTPRoute") -> Manifest:
    return {"apiVersion": f"gateway.networking.k8s.io/{version}", "kind": kind, "metadata": {"name": "gateway"}}


def test_a_kind_that_the_cluster_knows_is_accepted(client: kubernetes.client.ApiClient) -> None:
    require_kinds(client, [route("v1"), {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}}])


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        (route("v2"), r"no kind HTTPRoute of gateway\.networking\.k8s\.io/v2; nothing was changed.*the Gateway API"),
        (route("v1", "GRPCRoute"), r"no kind GRPCRoute of gateway\.networking\.k8s\.io/v1"),
        (
            {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": {"name": "postgres"}},
            r"no kind Cluster of postgresql\.cnpg\.io/v1; nothing was changed\. It is defined by CloudNativePG",
        ),
        (route("v3"), r"the kinds of gateway\.networking\.k8s\.io/v3 cannot be read"),
    ],
)
def test_a_kind_that_the_cluster_does_not_know_is_named(
    client: kubernetes.client.ApiClient, manifest: Manifest, text: str
) -> None:
    with pytest.raises(DeployError, match=text):
        require_kinds(client, [manifest])


AUTOSCALER = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "collector"}}
OTHER = {"kind": "StatefulSet", "metadata": {"name": "collector"}}


@pytest.mark.parametrize(
    ("status", "has_warning"), [(200, False), (404, True), (503, True), (403, False), (500, False)], ids=str
)
def test_an_autoscaler_without_a_metrics_server_gets_a_warning(
    client: kubernetes.client.ApiClient, status: int, has_warning: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ANSWERS, "v1beta1", status)
    lines = metrics_warnings(client, [OTHER, AUTOSCALER])
    assert len(lines) == has_warning
    for line in lines:
        assert "metrics.k8s.io" in line
        assert "the autoscaler of collector" in line
        assert "stays as it is until one answers" in line


def test_a_stack_without_autoscaler_needs_no_metrics_server(client: kubernetes.client.ApiClient) -> None:
    assert metrics_warnings(client, [OTHER]) == []
