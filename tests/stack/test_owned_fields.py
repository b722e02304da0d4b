"""Fields that Kubernetes does not change, and fields that somebody else owns: tried on a real API server.

Its controllers are real, too. What kubelets and a storage driver would report is written by the test (`Reports`).
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import kubernetes
import pytest

from stack import secrets
from stack.apply import DeployError, apply
from stack.meta import FIELD_MANAGER, Manifest
from stack.render import record
from stack.settings import PROJECT
from tests.stack.api_server import ApiServer, running

WAIT_SECONDS = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("kubernetes")) as started:
        started.storage_class("grows", grows=True)
        started.storage_class("fixed", grows=False)
        yield started


class Stack:
    """A small stack in a namespace of its own."""

    def __init__(self, server: ApiServer, namespace: str, storage_class: str = "grows") -> None:
        self.client, self.namespace, self.storage_class = server.client, namespace, storage_class
        self.reports = server.reports
        self.apps = kubernetes.client.AppsV1Api(server.client)
        self.core = kubernetes.client.CoreV1Api(server.client)
        self.said: list[str] = []

    def manifests(self, *only: str, **sections: Any) -> list[Manifest]:
        """What the program declares, of these workloads only if any are named."""
        config = {
            "environment": "test",
            "cluster": {"context": "c", "namespace": self.namespace, "storageClass": self.storage_class},
            "images": {"service": "registry.example.com/service:1"},
            "grafana": {"enabled": False},
            "logs": {"enabled": False},
            "alerting": {"enabled": False},
            **sections,
            **{key: f"value-of-{key}" for key in secrets.KEYS},
        }
        declared = record("test", {f"{PROJECT}:{key}": value for key, value in config.items()}).manifests
        names = {*only, self.namespace} if only else set()
        return [item for item in declared if not names or item["metadata"]["name"] in names]

    def deploy(self, manifests: list[Manifest]) -> None:
        apply(self.client, self.namespace, manifests, self.said.append)

    def versions(self) -> dict[str, str]:
        """Version of each object that a deployment could change."""
        lists: list[Any] = [
            self.apps.list_namespaced_stateful_set(self.namespace).items,
            self.apps.list_namespaced_deployment(self.namespace).items,
            self.core.list_namespaced_config_map(self.namespace).items,
            self.core.list_namespaced_service(self.namespace).items,
            self.core.list_namespaced_persistent_volume_claim(self.namespace).items,
        ]
        return {
            item.metadata.uid: str(item.metadata.generation or item.metadata.resource_version)
            for each in lists
            for item in each
        }

    def pods(self, name: str) -> dict[str, str]:
        """Names of a workload's pods, with what tells a new pod from an old one."""
        found = self.core.list_namespaced_pod(self.namespace, label_selector=f"app.kubernetes.io/name={name}").items
        return {item.metadata.name: item.metadata.uid for item in found}

    def replicas(self, name: str = "collector") -> int:
        return int(self.apps.read_namespaced_stateful_set(name, self.namespace).spec.replicas)

    def claims(self) -> dict[str, str]:
        """Sizes that the bound claims ask for."""
        found = self.core.list_namespaced_persistent_volume_claim(self.namespace).items
        return {
            item.metadata.name: item.spec.resources.requests["storage"]
            for item in found
            if item.status.phase == "Bound"
        }

    def template(self, name: str = "collector") -> str:
        (template,) = self.apps.read_namespaced_stateful_set(name, self.namespace).spec.volume_claim_templates
        return str(template.spec.resources.requests["storage"])


def until(what: str, true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not true():
        assert time.monotonic() < deadline, f"not within {WAIT_SECONDS} s: {what}"
        time.sleep(0.1)


def test_replicas_stay_when_an_autoscaler_takes_over(server: ApiServer) -> None:
    stack = Stack(server, "scaled")
    stack.deploy(stack.manifests("collector", collector={"replicas": 3}))
    before = stack.pods("collector")
    scaled = stack.manifests("collector", collector={"replicas": 3, "autoscaling": {"maxReplicas": 10}})
    stack.deploy(scaled)
    assert stack.replicas() == 3
    assert stack.pods("collector") == before
    # What the autoscaler decided stays with every further deployment.
    stack.apps.patch_namespaced_stateful_set_scale("collector", stack.namespace, {"spec": {"replicas": 5}})
    until("five pods", lambda: len(stack.pods("collector")) == 5)
    stack.deploy(scaled)
    assert stack.replicas() == 5


def test_replicas_are_declared_again_when_the_autoscaler_goes(server: ApiServer) -> None:
    stack = Stack(server, "unscaled")
    stack.deploy(stack.manifests("collector", collector={"replicas": 2, "autoscaling": {"maxReplicas": 10}}))
    assert stack.replicas() == 2, "a new one begins with the autoscaler's fewest"
    stack.apps.patch_namespaced_stateful_set_scale("collector", stack.namespace, {"spec": {"replicas": 5}})
    stack.deploy(stack.manifests("collector", collector={"replicas": 4}))
    assert stack.replicas() == 4
    found = kubernetes.client.AutoscalingV2Api(stack.client).list_namespaced_horizontal_pod_autoscaler(stack.namespace)
    assert not found.items
    stack.deploy(stack.manifests("collector", collector={"replicas": 3}))
    assert stack.replicas() == 3


def test_an_autoscaler_of_somebody_else_keeps_its_number(server: ApiServer) -> None:
    stack = Stack(server, "foreign")
    gateway = stack.manifests("gateway", services={"gateway": {"replicas": 2}})
    stack.deploy(gateway)
    kubernetes.client.AutoscalingV2Api(stack.client).create_namespaced_horizontal_pod_autoscaler(
        stack.namespace,
        {
            "metadata": {"name": "theirs"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "gateway"},
                "minReplicas": 4,
                "maxReplicas": 6,
            },
        },
    )

    def number() -> int:
        return int(stack.apps.read_namespaced_deployment("gateway", stack.namespace).spec.replicas)

    until("four pods", lambda: number() == 4)
    stack.deploy(gateway)
    assert number() == 4
    assert any("horizontalpodautoscaler/theirs" in line for line in stack.said)


def test_a_larger_volume_is_carried_out_and_no_pod_restarts(server: ApiServer) -> None:
    stack = Stack(server, "growing")
    small = {"replicas": 2, "queueVolume": "10Gi"}
    stack.deploy(stack.manifests("collector", collector=small))
    before = stack.pods("collector")
    (owners,) = [
        entry.fields_v1
        for entry in stack.apps.read_namespaced_stateful_set("collector", stack.namespace).metadata.managed_fields
        if entry.manager == FIELD_MANAGER
    ]
    stack.deploy(stack.manifests("collector", collector=small | {"queueVolume": "20Gi"}))
    assert stack.claims() == {"data-collector-0": "20Gi", "data-collector-1": "20Gi"}
    assert stack.template() == "20Gi"
    assert stack.pods("collector") == before
    grown = stack.apps.read_namespaced_stateful_set("collector", stack.namespace)
    assert [entry.fields_v1 for entry in grown.metadata.managed_fields if entry.manager == FIELD_MANAGER] == [owners]
    # A second time there is nothing to do, and a pod that is added gets the larger volume.
    versions = stack.versions()
    stack.deploy(stack.manifests("collector", collector=small | {"queueVolume": "20Gi"}))
    assert stack.versions() == versions
    stack.deploy(stack.manifests("collector", collector=small | {"queueVolume": "20Gi", "replicas": 3}))
    assert stack.claims()["data-collector-2"] == "20Gi"


def test_a_volume_grows_under_an_autoscaler_which_keeps_its_number_of_pods(server: ApiServer) -> None:
    stack = Stack(server, "growing-scaled")
    scaled = {"replicas": 1, "autoscaling": {"maxReplicas": 10}, "queueVolume": "10Gi"}
    stack.deploy(stack.manifests("collector", collector=scaled))
    stack.apps.patch_namespaced_stateful_set_scale("collector", stack.namespace, {"spec": {"replicas": 4}})
    until("four pods", lambda: len(stack.claims()) == 4 and len(stack.pods("collector")) == 4)
    before = stack.pods("collector")
    # One that was enlarged by hand beyond what is declared is left alone.
    stack.core.patch_namespaced_persistent_volume_claim(
        "data-collector-3", stack.namespace, {"spec": {"resources": {"requests": {"storage": "30Gi"}}}}
    )
    stack.deploy(stack.manifests("collector", collector=scaled | {"queueVolume": "20Gi"}))
    assert stack.replicas() == 4
    assert stack.pods("collector") == before
    assert set(stack.claims().values()) == {"20Gi", "30Gi"}


def test_a_deployment_that_ended_while_the_statefulset_was_away_takes_its_pods_over(server: ApiServer) -> None:
    stack = Stack(server, "interrupted")
    scaled = {"replicas": 1, "autoscaling": {"maxReplicas": 10}}
    stack.deploy(stack.manifests("collector", collector=scaled))
    stack.apps.patch_namespaced_stateful_set_scale("collector", stack.namespace, {"spec": {"replicas": 4}})
    until("four pods", lambda: len(stack.pods("collector")) == 4)
    before = stack.pods("collector")
    stack.apps.delete_namespaced_stateful_set("collector", stack.namespace, propagation_policy="Orphan")
    until("no StatefulSet", lambda: not stack.apps.list_namespaced_stateful_set(stack.namespace).items)
    stack.deploy(stack.manifests("collector", collector=scaled))
    assert stack.replicas() == 4
    assert stack.pods("collector") == before


@pytest.mark.parametrize(
    ("storage_class", "change", "said"),
    [
        ("fixed", {"collector": {"queueVolume": "20Gi"}}, ["data-collector-0 has 10Gi and would get 20Gi"]),
        ("grows", {"collector": {"queueVolume": "5Gi"}}, ["is 10Gi and would be 5Gi", "made smaller"]),
        (
            "grows",
            {"cluster": {"context": "c", "namespace": "kept", "storageClass": "fixed"}},
            ["storageClassName of its volumes is grows and would be fixed", "cluster.storageClass"],
        ),
    ],
)
def test_what_cannot_be_carried_out_is_refused_before_anything_is_changed(
    server: ApiServer, storage_class: str, change: dict[str, Any], said: list[str]
) -> None:
    stack = Stack(server, "kept" if "cluster" in change else f"kept-{storage_class}", storage_class)
    stack.deploy(stack.manifests("collector", "collector-config", collector={"queueVolume": "10Gi"}))
    before = stack.versions()
    other = {"collector": {"queueVolume": "10Gi"}, **change}
    other["collector"] = {**other["collector"], "queueSize": 400_000}  # and something that can be changed
    with pytest.raises(DeployError) as refused:
        stack.deploy(stack.manifests("collector", "collector-config", **other))
    for part in ["Nothing was changed", "statefulset/collector", *said]:
        assert part in str(refused.value)
    assert "changed before that" not in str(refused.value)
    assert stack.versions() == before


def test_a_volume_that_does_not_grow_in_time_is_named_and_the_next_deployment_goes_on(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(server, "slow")
    stack.deploy(stack.manifests("collector", collector={"queueVolume": "10Gi"}))
    monkeypatch.setattr("stack.growth.carry_out.__kwdefaults__", {"limit": 1.0})
    server.reports.resizes = False
    larger = stack.manifests("collector", collector={"queueVolume": "20Gi"})
    try:
        with pytest.raises(DeployError, match=r"data-collector-0 has 10Gi.*\n.*changed before that: the volumes of"):
            stack.deploy(larger)
    finally:
        server.reports.resizes = True
    assert stack.template() == "10Gi"
    stack.deploy(larger)
    assert stack.template() == "20Gi"
