"""Fields that Kubernetes does not change, and fields that somebody else owns: tried on a real API server.

Its controllers are real, too. What kubelets and a storage driver would report is written by the test (`Reports`).
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from rich.console import Console

from contracts import secret_keys
from contracts.metadata import FIELD_MANAGER, LOCAL_CONTEXT, STACK, Manifest
from stack import settings
from stack.deploy import deployment, destroy, drift, preflight, queues
from stack.deploy.render import record
from stack.errors import DeployError
from stack.kubernetes import dry_run, volume_resize
from stack.kubernetes.apply import apply
from stack.kubernetes.namespace import require_own_namespace
from stack.kubernetes.objects import Objects
from stack.kubernetes.volume_resize import OWNERS
from stack.rollout import __main__ as rollout
from stack.settings import PROJECT, ROOT
from tests.support.api_server import ApiServer, running

WAIT_SECONDS = 20
ANY = "any-namespace"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("kubernetes")) as started:
        started.storage_class("grows", grows=True)
        started.storage_class("fixed", grows=False)
        yield started


@cache
def rendered(sections: str, storage_class: str) -> str:
    """The manifests of a small stack in the namespace ANY, as JSON."""
    config = {
        "environment": "test",
        "cluster": {"context": "c", "namespace": ANY, "storageClass": storage_class},
        "images": {"service": "registry.example.com/service:1"},
        "grafana": {"enabled": False},
        "logs": {"enabled": False},
        "alerting": {"enabled": False},
        **json.loads(sections),
        **{key: f"value-of-{key}" for key in secret_keys.GENERATED},
    }
    return json.dumps(record("test", {f"{PROJECT}:{key}": value for key, value in config.items()}).manifests)


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
        declared = rendered(json.dumps(sections), self.storage_class).replace(f'"{ANY}"', f'"{self.namespace}"')
        names = {*only, self.namespace} if only else set()
        return [item for item in json.loads(declared) if not names or item["metadata"]["name"] in names]

    def deploy(self, manifests: list[Manifest]) -> None:
        apply(self.client, self.namespace, manifests, self.said.append)

    def versions(self) -> dict[str, str]:
        """Version of each object that a deployment could change."""
        lists: list[Any] = [
            self.apps.list_namespaced_stateful_set(self.namespace).items,
            self.apps.list_namespaced_deployment(self.namespace).items,
            self.core.list_namespaced_config_map(self.namespace).items,
            self.core.list_namespaced_service(self.namespace).items,
        ]
        found = {
            item.metadata.uid: str(item.metadata.generation or item.metadata.resource_version)
            for each in lists
            for item in each
        }
        return found | self.claims()

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
    until("claims that are bound", lambda: len(stack.claims()) == 2)
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


@pytest.mark.parametrize("changes_it_meanwhile", ["nobody", "somebody"])
def test_a_deployment_that_ended_before_the_owners_had_their_fields_again_is_repaired_by_the_next(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch, changes_it_meanwhile: str
) -> None:
    stack = Stack(server, f"ended-{changes_it_meanwhile}")
    declared = stack.manifests("collector", collector={"queueVolume": "10Gi"})
    find(declared, "StatefulSet")["metadata"]["annotations"]["leaves"] = "soon"
    stack.deploy(declared)
    until("a claim that is bound", lambda: len(stack.claims()) == 1)
    theirs = {"spec": {"template": {"metadata": {"annotations": {"theirs": "stays"}}}}}
    stack.apps.patch_namespaced_stateful_set("collector", stack.namespace, theirs, field_manager="them")
    until("the owners", lambda: "them" in owners(stack))
    before = owners(stack)

    class Ended(BaseException):
        """As a killed process."""

    def end(*_: Any) -> None:
        raise Ended

    larger = stack.manifests("collector", collector={"queueVolume": "20Gi"})
    with monkeypatch.context() as killed:
        killed.setattr(
            volume_resize,
            "restore_field_owners",
            lambda *_: end() if stack.template() == "20Gi" else None,
        )
        with pytest.raises(Ended):
            stack.deploy(larger)
    assert stack.template() == "20Gi"
    if changes_it_meanwhile == "somebody":
        late = {"metadata": {"annotations": {"late": "stays"}}}
        stack.apps.patch_namespaced_stateful_set("collector", stack.namespace, late, field_manager="late")
    stack.deploy(larger)
    grown = stack.apps.read_namespaced_stateful_set("collector", stack.namespace)
    assert "leaves" not in grown.metadata.annotations
    assert OWNERS not in grown.metadata.annotations
    assert grown.spec.template.metadata.annotations["theirs"] == "stays"
    assert ("late" in grown.metadata.annotations) == (changes_it_meanwhile == "somebody")
    assert owners(stack) - {"late"} == before
    assert operations(stack) == {"Apply"}


def owners(stack: Stack) -> set[str]:
    found = stack.apps.read_namespaced_stateful_set("collector", stack.namespace).metadata.managed_fields
    return {entry.manager for entry in found if entry.subresource is None}


def operations(stack: Stack) -> set[str]:
    """How our fields of it came to be ours."""
    found = stack.apps.read_namespaced_stateful_set("collector", stack.namespace).metadata.managed_fields
    return {entry.operation for entry in found if entry.manager == FIELD_MANAGER}


def test_a_volume_grows_under_a_quota_that_has_no_room_for_a_second_object(server: ApiServer) -> None:
    stack = Stack(server, "growing-quota")
    stack.deploy(stack.manifests("collector", collector={"queueVolume": "10Gi"}))
    until("a claim that is bound", lambda: len(stack.claims()) == 1)
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/statefulsets.apps": "1"}}}
    stack.core.create_namespaced_resource_quota(stack.namespace, quota)
    until("a quota that counts", lambda: _counted(stack))
    pods = stack.pods("collector")
    stack.deploy(stack.manifests("collector", collector={"queueVolume": "20Gi"}))
    assert stack.template() == "20Gi"
    assert stack.pods("collector") == pods
    smaller = r"statefulset/collector: .*storage of its volumes is 20Gi and would be 5Gi.*made smaller"
    with pytest.raises(DeployError, match=smaller):
        stack.deploy(stack.manifests("collector", collector={"queueVolume": "5Gi"}))


def test_a_user_who_may_not_read_namespaces_previews_and_is_refused_a_deployment(server: ApiServer) -> None:
    stack = Stack(server, "hidden")
    declared = stack.manifests("gateway")
    stack.deploy(declared)
    user = kubernetes.client.ApiClient(server.client.configuration)
    user.set_default_header("Impersonate-User", "viewer")
    user.set_default_header("Impersonate-Group", "system:authenticated")
    require_own_namespace(user, stack.namespace, "test", lenient=True)
    with pytest.raises(DeployError, match=r"namespace hidden cannot be read: namespaces .* is forbidden"):
        require_own_namespace(user, stack.namespace, "test")
    assert dry_run.require_accepted(user, stack.namespace, declared, lenient=True) == []
    with pytest.raises(DeployError, match=r"the right to read namespace hidden is missing: .*Nothing was changed"):
        dry_run.require_accepted(user, stack.namespace, declared)


@pytest.mark.parametrize(
    ("storage_class", "change", "said"),
    [
        ("fixed", {"collector": {"queueVolume": "20Gi"}}, ["data-collector-0 has 10Gi and would get 20Gi"]),
        ("grows", {"collector": {"queueVolume": "5Gi"}}, ["is 10Gi and would be 5Gi", "made smaller"]),
        (
            "grows",
            {"cluster": {"context": "c", "namespace": ANY, "storageClass": "fixed"}},
            ["storageClassName of its volumes is grows and would be fixed", "cluster.storageClass"],
        ),
    ],
)
def test_what_cannot_be_carried_out_is_refused_before_anything_is_changed(
    server: ApiServer, storage_class: str, change: dict[str, Any], said: list[str]
) -> None:
    stack = Stack(server, "kept" if "cluster" in change else f"kept-{storage_class}", storage_class)
    stack.deploy(stack.manifests("collector", "collector-config", collector={"queueVolume": "10Gi"}))
    until("a claim that is bound", lambda: bool(stack.claims()))
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
    monkeypatch.setattr("stack.kubernetes.volume_resize.enlarge_volumes.__kwdefaults__", {"limit": 1.0})
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


def find(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    return next(item for item in manifests if item["kind"] == kind and name in item["metadata"]["name"])


def opened_by_hand(stack: Stack, declared: list[Manifest]) -> None:
    spec = {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]}
    stack.core.patch_namespaced_service("gateway", stack.namespace, {"spec": spec}, field_manager="somebody")


def made_by_hand(stack: Stack, declared: list[Manifest]) -> None:
    name = find(declared, "Service", "pods")["metadata"]["name"]
    stack.core.delete_namespaced_service(name, stack.namespace)
    stack.core.create_namespaced_service(
        stack.namespace, {"metadata": {"name": name}, "spec": {"ports": [{"port": 1}]}}
    )


def frozen_by_hand(stack: Stack, declared: list[Manifest]) -> None:
    stack.core.patch_namespaced_secret("stack-secrets", stack.namespace, {"immutable": True})
    find(declared, "Secret")["stringData"]["postgresPassword"] = "another-value"


def held_by_a_finalizer(stack: Stack, declared: list[Manifest]) -> None:
    held = {"metadata": {"finalizers": ["example.com/hold"]}}
    stack.core.patch_namespaced_config_map("gateway-files", stack.namespace, held)
    stack.core.delete_namespaced_config_map("gateway-files", stack.namespace)


def over_quota(stack: Stack, declared: list[Manifest]) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/configmaps": "1"}}}
    stack.core.create_namespaced_resource_quota(stack.namespace, quota)
    until("a quota that counts", lambda: _counted(stack))
    declared.append(files(stack.namespace, "more", "x"))


def _counted(stack: Stack) -> bool:
    return bool(stack.core.read_namespaced_resource_quota("few", stack.namespace).status.used)


def no_room_for_another(stack: Stack, declared: list[Manifest]) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/deployments.apps": "1"}}}
    stack.core.create_namespaced_resource_quota(stack.namespace, quota)
    until("a quota that counts", lambda: _counted(stack))
    other_selector(stack, declared)


def too_large(stack: Stack, declared: list[Manifest]) -> None:
    find(declared, "ConfigMap")["data"]["a"] = "x" * 1_100_000


def other_selector(stack: Stack, declared: list[Manifest]) -> None:
    spec = find(declared, "Deployment")["spec"]
    spec["selector"]["matchLabels"]["more"] = spec["template"]["metadata"]["labels"]["more"] = "x"


def other_secret_type(stack: Stack, declared: list[Manifest]) -> None:
    find(declared, "Secret").update(type="example.com/other")


def twice_the_same(stack: Stack, declared: list[Manifest]) -> None:
    env = find(declared, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"]
    env.append(env[0])


def files(namespace: str, name: str, text: str) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": text}}


@pytest.mark.parametrize(
    ("meddle", "said"),
    [
        (opened_by_hand, 'service/gateway: spec.type is "LoadBalancer" and would be "ClusterIP"'),
        (made_by_hand, "spec.clusterIP is "),
        (frozen_by_hand, "secret/stack-secrets: data.postgresPassword is (not shown) and would be (not shown)"),
        (held_by_a_finalizer, "configmap/gateway-files: is being deleted, held by example.com/hold"),
        (over_quota, 'configmap/more: configmaps "more" is forbidden: exceeded quota'),
        (too_large, 'configmap/gateway-files: ConfigMap "gateway-files" is invalid: []: Too long'),
        (other_selector, 'deployment/gateway: spec.selector.matchLabels.more is unset and would be "x"'),
        (no_room_for_another, 'deployment/gateway: spec.selector.matchLabels.more is unset and would be "x"'),
        (other_secret_type, 'secret/stack-secrets: type is "Opaque" and would be "example.com/other"'),
        (twice_the_same, "duplicate entries for key"),
    ],
)
def test_whatever_the_api_server_refuses_is_named_before_anything_is_changed(
    server: ApiServer, meddle: Callable[[Stack, list[Manifest]], None], said: str
) -> None:
    stack = Stack(server, meddle.__name__.replace("_", "-"))
    declared = [
        *stack.manifests("gateway", "gateway-pods", "stack-secrets"),
        files(stack.namespace, "gateway-files", "a"),
    ]
    stack.deploy(declared)
    meddle(stack, declared)
    find(declared, "ServiceAccount")["metadata"]["labels"]["changed"] = "yes"  # what comes first could be changed
    with pytest.raises(DeployError) as refused:
        stack.deploy(declared)
    assert "Nothing was changed" in str(refused.value)
    assert said in str(refused.value)
    assert "another-value" not in str(refused.value)
    account = stack.core.read_namespaced_service_account("gateway", stack.namespace)
    assert "changed" not in account.metadata.labels


def test_what_others_add_stays_and_what_they_change_comes_back(server: ApiServer) -> None:
    stack = Stack(server, "shared")
    declared = stack.manifests("gateway")
    stack.deploy(declared)
    sidecar = {
        "name": "proxy",
        "image": "proxy:1",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    template = {
        "metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}},
        "spec": {"containers": [sidecar, {"name": "gateway", "image": "other:1"}]},
    }
    stack.apps.patch_namespaced_deployment(
        "gateway", stack.namespace, {"spec": {"template": template}}, field_manager="them"
    )
    stack.core.patch_namespaced_service(
        "gateway", stack.namespace, {"spec": {"type": "NodePort"}}, field_manager="them"
    )
    stack.deploy(declared)
    pod = stack.apps.read_namespaced_deployment("gateway", stack.namespace).spec.template
    assert "kubectl.kubernetes.io/restartedAt" in pod.metadata.annotations
    images = {container.name: container.image for container in pod.spec.containers}
    assert images == {"proxy": "proxy:1", "gateway": "registry.example.com/service:1"}
    service = stack.core.read_namespaced_service("gateway", stack.namespace).spec
    assert (service.type, service.ports[0].node_port) == ("ClusterIP", None)


def test_ports_are_told_apart_by_number_and_protocol(server: ApiServer) -> None:
    stack = Stack(server, "ports")
    declared = stack.manifests("gateway")
    stack.deploy(declared)
    ports = find(declared, "Service")["spec"]["ports"]
    ports.append({**ports[0], "name": "udp", "protocol": "UDP"})
    ports[0]["port"] = 9999  # another number under the same name
    stack.deploy(declared)
    found = stack.core.read_namespaced_service("gateway", stack.namespace).spec.ports
    assert {(port.name, port.port, port.protocol) for port in found} == {("http", 9999, "TCP"), ("udp", 8080, "UDP")}


def test_pods_that_the_api_server_refuses_are_named_at_once(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Stack(server, "refused")
    monkeypatch.setattr("stack.kubernetes.wait._REFUSAL_SECONDS", 1)
    declared = stack.manifests("gateway")
    del find(declared, "Deployment")["spec"]["template"]["spec"]["securityContext"]
    with pytest.raises(DeployError, match=r"gateway: cannot start, .*violates PodSecurity.*\n.*changed before that"):
        stack.deploy(declared)
    stack.deploy(stack.manifests("gateway"))


def test_a_namespace_that_is_being_deleted_is_named_with_what_holds_it(server: ApiServer) -> None:
    stack = Stack(server, "leaving")
    declared = stack.manifests("gateway")
    stack.deploy(declared)
    hold = {"metadata": {"finalizers": ["example.com/hold"]}}
    stack.core.patch_namespaced_service("gateway", stack.namespace, hold)
    stack.core.delete_namespace(stack.namespace)
    until("what holds it", lambda: "example.com/hold" in str(stack.core.read_namespace(stack.namespace).status))
    with pytest.raises(
        DeployError, match=r"Nothing was changed\.\n  namespace/leaving: is being deleted, .*example\.com/hold"
    ):
        stack.deploy(declared)
    stack.core.patch_namespaced_service("gateway", stack.namespace, {"metadata": {"finalizers": None}})


def test_the_first_deployment_is_looked_at_as_soon_as_its_namespace_is_there(server: ApiServer) -> None:
    stack = Stack(server, "first")
    declared = stack.manifests("gateway")
    find(declared, "Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = 99999
    with pytest.raises(
        DeployError, match=r"Nothing but its namespace was made.*\n.*containerPort: Invalid value: 99999"
    ):
        stack.deploy(declared)
    assert not stack.core.list_namespaced_service(stack.namespace).items


def test_plain_pulumi_is_told_before_its_first_resource(server: ApiServer) -> None:
    """The process that the program starts under a real engine; with `make deploy` nothing is looked at twice."""
    stack = Stack(server, "plain")
    stack.deploy(stack.manifests("collector", collector={"queueVolume": "10Gi"}))
    config = {
        "environment": "test",
        "cluster": {
            "context": "local",
            "kubeconfig": str(server.kubeconfig),
            "namespace": stack.namespace,
            "storageClass": "grows",
        },
        "images": {"service": "registry.example.com/service:1"},
        "collector": {"queueVolume": "20Gi"},
    }
    asked = {
        "stack": "test",
        "config": {
            f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value)
            for key, value in (config | {key: f"value-of-{key}" for key in secret_keys.GENERATED}).items()
        },
        "preview": True,
    }
    command = [sys.executable, "-m", "stack.deploy.plain_pulumi"]
    done = subprocess.run(command, input=json.dumps(asked), text=True, capture_output=True, cwd=ROOT, timeout=60)
    assert done.returncode == 1
    assert "its volumes are to become larger (20Gi)" in done.stderr
    assert "`make deploy STACK=test` enlarges them" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def two_stacks(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A namespace in which stack `test` is, and the file of another stack that names the same one."""
    stack = Stack(server, "taken")
    stack.deploy(stack.manifests("collector-config"))
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    for name in ("test", "other"):
        config = {
            "environment": "test",
            "cluster": {
                "context": LOCAL_CONTEXT,
                "kubeconfig": str(server.kubeconfig),
                "namespace": stack.namespace,
            },
            "images": {"service": "registry.example.com/service:1"},
        }
        document = {"config": {f"{PROJECT}:{key}": value for key, value in config.items()}}
        (tmp_path / f"Pulumi.{name}.yaml").write_text(json.dumps(document))
    (tmp_path / ".local").mkdir()
    (tmp_path / settings.OVERLAY).write_text("config: {}")
    return stack


@pytest.mark.parametrize("command", ["deploy", "rollout", "drift", "destroy", "half-way"])
def test_a_namespace_of_another_stack_is_refused_before_anything_is_changed(
    two_stacks: Stack, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = two_stacks.versions()
    commands: dict[str, Callable[[], Any]] = {
        "deploy": lambda: preflight.run_preflight("other", print),
        "half-way": lambda: deployment.require_no_rollout("other"),
        "rollout": lambda: rollout._run(argparse.Namespace(stack="other", plan=False, abort=False), Console()),
        "drift": lambda: drift.find_drift("other"),
        "destroy": lambda: destroy.destroy("other", lambda _: True, print, delete_data=True, limit=5),
    }
    said = "namespace taken belongs to stack test, not to other: nothing was changed.*cluster.namespace` of its own"
    with pytest.raises(DeployError, match=said):
        commands[command]()
    assert two_stacks.versions() == before


def test_a_namespace_of_the_stack_itself_or_of_an_earlier_release_is_taken(two_stacks: Stack) -> None:
    require_own_namespace(two_stacks.client, two_stacks.namespace, "test")
    unmarked = {"metadata": {"annotations": {STACK: None}}}
    two_stacks.core.patch_namespace(two_stacks.namespace, unmarked)
    require_own_namespace(two_stacks.client, two_stacks.namespace, "other")
    two_stacks.deploy(two_stacks.manifests("collector-config"))
    assert two_stacks.core.read_namespace(two_stacks.namespace).metadata.annotations[STACK] == "test"


def test_drift_in_a_field_that_cannot_be_changed_names_it_and_what_to_do(server: ApiServer) -> None:
    stack = Stack(server, "drifted")
    stack.deploy(stack.manifests("collector"))
    objects = Objects(server.client, stack.namespace)
    changed = stack.manifests("collector")
    for item in changed:
        if item["kind"] == "StatefulSet":
            item["spec"]["podManagementPolicy"] = "OrderedReady"
    (found,) = drift.compare(changed, objects)
    (line,) = found.refused
    assert found.object == "statefulset/collector"
    assert line.startswith('spec.podManagementPolicy is "Parallel" and would be "OrderedReady": ')
    assert "`kubectl -n drifted delete statefulset/collector` ends its pods and keeps the volumes" in line
    with pytest.raises(DeployError) as refused:
        stack.deploy(changed)
    assert line in str(refused.value), "the same advice as a deployment's"


def test_volumes_that_a_deployment_enlarges_are_drift_that_it_mends(server: ApiServer) -> None:
    stack = Stack(server, "drifted-volumes")
    stack.deploy(stack.manifests("collector", collector={"queueVolume": "10Gi"}))
    larger = stack.manifests("collector", collector={"queueVolume": "20Gi"})
    (found,) = drift.compare(larger, Objects(server.client, stack.namespace))
    assert (found.problem, found.refused) == ("its volumes are smaller than declared (20Gi)", [])


def test_collectors_that_a_deployment_takes_away_are_named_and_full_queues_refuse_it(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(server, "shrinking")
    stack.deploy(stack.manifests("collector", collector={"replicas": 3}))
    fewer = stack.manifests("collector", collector={"replicas": 1})

    def look(manifests: list[Manifest], *, leave: bool = False) -> list[str]:
        return queues.check_queues(stack.client, stack.namespace, manifests, leave_queues=leave)

    (line,) = look(fewer)  # no kubelet answers here, so how much waits is not known
    assert line.startswith("collector-1, collector-2: will be removed.")
    assert "(data-collector-1, data-collector-2), which are kept" in line
    assert look(stack.manifests("collector", collector={"replicas": 3})) == []
    scaled = {"replicas": 1, "autoscaling": {"maxReplicas": 5}}
    assert look(stack.manifests("collector", collector=scaled)) == [], "an autoscaler takes over what there is"
    monkeypatch.setattr(queues, "queue_size", lambda *where: {"collector-2": 1234}.get(where[-1], 0))
    with pytest.raises(DeployError, match=r"not empty: collector-2 has 1,234 items.*--leave-queues"):
        look(fewer)
    assert look(fewer, leave=True) == [line]
    assert stack.replicas() == 3
