"""Every workload outlives drained nodes, replaced pods and its own removal."""

from typing import Any

import pytest

from contracts.metadata import Manifest
from contracts.services import SERVICES
from stack.components.shared.availability import DRAIN_SECONDS
from tests.support.program import STACKS, program, run, workloads

CLUSTER = {
    "context": "c",
    "namespace": "n",
    "protectData": True,
    "priorityClasses": {"tasks": "high", "telemetry": "middle", "dashboards": "low"},
    "pullSecrets": ["registry"],
}
TASKS = {*SERVICES, "kafka", "postgres"}


def objects(kind: str, manifests: list[Manifest]) -> dict[str, Manifest]:
    return {item["metadata"]["name"]: item for item in manifests if item["kind"] == kind}


def pods(manifests: list[Manifest]) -> dict[str, dict[str, Any]]:
    return {
        name: item["spec"]["template"]["spec"]
        for kind in ("Deployment", "StatefulSet")
        for name, item in objects(kind, manifests).items()
    }


def may_be_several(workload: Manifest) -> bool:
    """Without `replicas` an autoscaler decides."""
    return bool(workload["spec"].get("replicas") != 1)


@pytest.mark.parametrize("backend", STACKS)
def test_every_workload_has_a_service_account_of_its_own_without_a_token(backend: str) -> None:
    accounts = objects("ServiceAccount", program(backend).manifests)
    used = [item["spec"]["template"]["spec"]["serviceAccountName"] for item in workloads(backend)]
    assert sorted(used) == sorted(accounts), "one each, and no unused one"
    assert all(account["automountServiceAccountToken"] is False for account in accounts.values())


@pytest.mark.parametrize("backend", STACKS)
def test_what_may_have_several_pods_is_drained_one_at_a_time(backend: str) -> None:
    budgets = objects("PodDisruptionBudget", program(backend).manifests)
    several = {item["metadata"]["name"]: item for item in workloads(backend) if may_be_several(item)}
    assert {"gateway", "task-manager", "web-crawler", "collector"} <= several.keys()
    assert budgets.keys() == several.keys(), "a budget for a single pod would promise what it cannot hold"
    for name, budget in budgets.items():
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        template = several[name]["spec"]["template"]
        assert budget["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


@pytest.mark.parametrize("backend", STACKS)
def test_pods_of_a_name_are_spread_over_nodes_and_zones(backend: str) -> None:
    for item in workloads(backend):
        constraints = item["spec"]["template"]["spec"]["topologySpreadConstraints"]
        keys = [constraint["topologyKey"] for constraint in constraints]
        assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        for constraint in constraints:
            assert constraint["labelSelector"] == item["spec"]["selector"], item["metadata"]["name"]
            assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"


@pytest.mark.parametrize("backend", STACKS)
def test_a_pod_that_others_take_over_from_serves_until_they_are_known(backend: str) -> None:
    for item in workloads(backend):
        pod = item["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        if item["kind"] == "Deployment" or may_be_several(item):
            assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}}, container["name"]
            assert pod["terminationGracePeriodSeconds"] >= DRAIN_SECONDS + 30
        else:
            assert "sleep" not in container.get("lifecycle", {}).get("preStop", {}), container["name"]
            assert pod["terminationGracePeriodSeconds"] >= 30


def test_postgres_does_not_wait_for_connections_that_stay_open() -> None:
    (container,) = pods(program("tempo").manifests)["postgres"]["containers"]
    command = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command[command.index("-m") + 1] == "fast"


@pytest.mark.parametrize("backend", STACKS)
def test_volumes_outlive_their_workload(backend: str) -> None:
    for name, item in objects("StatefulSet", program(backend).manifests).items():
        policy = item["spec"]["persistentVolumeClaimRetentionPolicy"]
        assert policy == {"whenDeleted": "Retain", "whenScaled": "Retain"}, name


def test_protected_data_is_marked_in_the_cluster_and_for_pulumi() -> None:
    for protect in (False, True):
        made = run("tempo", CLUSTER) if protect else program("tempo")
        (namespace,) = objects("Namespace", made.manifests).values()
        assert ("web-crawl-tracing/protect-data" in namespace["metadata"].get("annotations", {})) == protect
        kept = {item.type for item in made.registrations if item.protected}
        assert kept == ({"kubernetes:core/v1:Namespace", "kubernetes:core/v1:Secret"} if protect else set())


@pytest.mark.parametrize("backend", STACKS)
def test_the_clusters_priorities_and_pull_secrets_reach_every_pod(backend: str) -> None:
    made = run(backend, CLUSTER).manifests
    classes_of_pods = {name: pod["priorityClassName"] for name, pod in pods(made).items()}
    assert classes_of_pods == {
        name: "high" if name in TASKS else "low" if name == "grafana" else "middle" for name in classes_of_pods
    }
    for name, account in objects("ServiceAccount", made).items():
        assert account["imagePullSecrets"] == [{"name": "registry"}], name


@pytest.mark.parametrize("backend", STACKS)
def test_without_their_names_the_clusters_defaults_hold(backend: str) -> None:
    made = program(backend).manifests
    assert not any("priorityClassName" in pod for pod in pods(made).values())
    assert not any("imagePullSecrets" in account for account in objects("ServiceAccount", made).values())
    assert {item["kind"] for item in made}.isdisjoint({"PriorityClass", "StorageClass"})
