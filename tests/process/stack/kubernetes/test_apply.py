"""What server-side apply does when the cluster is not there for it; the rest runs on the cluster, in stack/smoke."""

import kubernetes
import pytest

from contracts import endpoints
from contracts.metadata import Manifest
from stack.errors import DeployError
from stack.kubernetes.apply import apply
from stack.kubernetes.objects import encoded
from stack.kubernetes.order import service_groups
from tests.support.service import free_port


def test_a_cluster_that_stops_answering_is_named_with_what_to_do() -> None:
    client = kubernetes.client.ApiClient(kubernetes.client.Configuration(host=f"http://127.0.0.1:{free_port()}"))
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "nowhere"}}
    with pytest.raises(DeployError, match=r"stopped answering during the deployment.*Deploy again"):
        apply(client, "nowhere", [namespace], lambda _: None)


def _deployment(name: str, pods: str) -> Manifest:
    labels = {"app.kubernetes.io/name": pods}
    return {
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"template": {"metadata": {"labels": labels}}},
    }


def test_services_come_last_and_one_by_one_both_versions_of_each_together() -> None:
    gateway, task_manager, crawler = (_deployment(name, name) for name in endpoints.SERVICES)
    canary = _deployment(endpoints.canary(endpoints.GATEWAY), endpoints.GATEWAY)
    collector = _deployment(endpoints.COLLECTOR, endpoints.COLLECTOR)
    files: Manifest = {"kind": "ConfigMap", "metadata": {"name": endpoints.GATEWAY}}
    assert service_groups([files, collector, gateway, canary, task_manager, crawler]) == [
        [files, collector],
        [crawler],
        [task_manager],
        [gateway, canary],
    ]


def test_secrets_are_applied_as_they_are_kept_so_that_a_key_can_go() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "1"}}
    assert encoded(secret) == {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "MQ=="}}
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    assert encoded(other) is other
