"""The order in which objects are applied."""

from contracts import endpoints
from contracts.metadata import Manifest
from contracts.services import GATEWAY, SERVICES
from stack.kubernetes.order import service_groups


def _deployment(name: str, pods: str) -> Manifest:
    labels = {"app.kubernetes.io/name": pods}
    return {
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"template": {"metadata": {"labels": labels}}},
    }


def test_services_come_last_and_one_by_one_both_versions_of_each_together() -> None:
    gateway, *others = (_deployment(name, name) for name in SERVICES)
    canary = _deployment(endpoints.track(GATEWAY, "canary"), GATEWAY)
    collector = _deployment(endpoints.COLLECTOR, endpoints.COLLECTOR)
    files: Manifest = {"kind": "ConfigMap", "metadata": {"name": GATEWAY}}
    assert service_groups([files, collector, gateway, canary, *others]) == [
        [files, collector],
        *([service] for service in reversed(others)),
        [gateway, canary],
    ]
