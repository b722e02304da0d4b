"""The room that a rollout needs, compared with the room that the nodes have."""

import json
from typing import Any

import kubernetes
import pytest

from contracts.metadata import Manifest
from contracts.services import SERVICES
from stack.components.services.settings import Split
from stack.deploy.render import render
from stack.release.plan import plan_steps
from stack.rollout.room import Resources, missing_room, requests
from stack.settings import load
from tests.unit.stack.rollout.test_runner import SETTINGS

SIZE = Resources(cpu=0.1, memory=200e6)
PODS: dict[str, Resources] = dict.fromkeys(SERVICES, SIZE)
PRESENT: dict[str, Split] = dict.fromkeys(SERVICES, Split(stable=3))


def lines(*nodes: Resources) -> list[str]:
    return missing_room(plan_steps(SETTINGS), PRESENT, PODS, nodes)


def test_a_cluster_with_room_for_the_largest_step_is_enough() -> None:
    # On the way to the first step there are three stable pods of each service, three of the baseline, and a canary.
    half = Resources(cpu=2 * SIZE.cpu * len(SERVICES), memory=2 * SIZE.memory * len(SERVICES))
    assert lines(Resources(cpu=2 * half.cpu, memory=2 * half.memory)) == []
    assert lines(half, half) == []


@pytest.mark.parametrize(
    "node", [Resources(cpu=1.1, memory=1e12), Resources(cpu=64, memory=2300e6), Resources(cpu=0.05, memory=1e12)]
)
def test_the_first_step_without_room_is_named_with_what_is_left(node: Resources) -> None:
    (line,) = lines(node)
    assert line.startswith("no room for stage ")
    assert f"{node.cpu:.2f} CPU" in line


def test_room_that_is_scattered_over_nodes_is_no_room() -> None:
    (line,) = lines(*[Resources(cpu=0.09, memory=1e12)] * 20)
    assert "fit on no node" in line


def test_a_pod_requests_its_containers_or_its_largest_init_container() -> None:
    def container(cpu: str, memory: str) -> Any:
        resources = kubernetes.client.V1ResourceRequirements(requests={"cpu": cpu, "memory": memory})
        return kubernetes.client.V1Container(name="c", resources=resources)

    spec = kubernetes.client.V1PodSpec(
        containers=[container("100m", "64Mi"), container("150m", "64Mi"), kubernetes.client.V1Container(name="d")],
        init_containers=[container("50m", "256Mi")],
    )
    assert requests(spec) == Resources(cpu=0.25, memory=256 * 2**20)


def test_a_rollout_of_the_local_stack_fits_two_cores() -> None:
    manifests = [item for item in render("local") if item["kind"] in ("Deployment", "StatefulSet")]
    pods = {item["metadata"]["name"]: _requested(item) for item in manifests}
    others = [item["spec"]["replicas"] * pods[item["metadata"]["name"]].cpu for item in manifests]
    node = Resources(cpu=2.0 - sum(others), memory=1e12)
    services = {name: pods[name] for name in SERVICES}
    assert missing_room(plan_steps(load("local")), dict.fromkeys(SERVICES, Split(stable=1)), services, [node]) == []


def _requested(workload: Manifest) -> Resources:
    client = kubernetes.client.ApiClient()
    pod = json.dumps(workload["spec"]["template"]["spec"])
    return requests(client.deserialize(pod, "V1PodSpec", "application/json"))
