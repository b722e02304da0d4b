"""Whether the cluster has room for the pods of a rollout: their requests, compared with what the nodes have left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import kubernetes
from kubernetes.utils.quantity import parse_quantity

from contracts.services import SERVICES
from stack.components.services.settings import Split
from stack.release.plan import Step, surge

_SECONDS: Final = 30
_ENDED: Final = ("Succeeded", "Failed")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """CPU in cores, memory in bytes."""

    cpu: float
    memory: float

    def __sub__(self, other: "Resources") -> "Resources":
        return Resources(cpu=self.cpu - other.cpu, memory=self.memory - other.memory)

    def fits(self, other: "Resources") -> bool:
        """Whether these are enough for others; to a thousandth of a core, since shares of cores are not exact."""
        return self.cpu - other.cpu > -0.001 and self.memory >= other.memory


def read_room(client: kubernetes.client.ApiClient) -> list[Resources]:
    """Returns what is left of each node that takes pods: allocatable less the requests of its pods.

    Raises:
        ApiException: the nodes or the pods cannot be read.
    """
    core = kubernetes.client.CoreV1Api(client)
    nodes = {
        node.metadata.name: Resources(
            cpu=float(parse_quantity(node.status.allocatable["cpu"])),
            memory=float(parse_quantity(node.status.allocatable["memory"])),
        )
        for node in core.list_node(_request_timeout=_SECONDS).items
        if not node.spec.unschedulable
        and not any(taint.effect != "PreferNoSchedule" for taint in node.spec.taints or [])
    }
    for pod in core.list_pod_for_all_namespaces(_request_timeout=_SECONDS).items:
        if pod.spec.node_name in nodes and pod.status.phase not in _ENDED:
            nodes[pod.spec.node_name] -= requests(pod.spec)
    return list(nodes.values())


def read_pod_requests(client: kubernetes.client.ApiClient, namespace: str) -> dict[str, Resources]:
    """Returns what one pod of each deployed service requests.

    Raises:
        ApiException: the Deployments cannot be read.
    """
    deployments = kubernetes.client.AppsV1Api(client).list_namespaced_deployment(namespace, _request_timeout=_SECONDS)
    specs = {item.metadata.name: item.spec.template.spec for item in deployments.items}
    return {name: requests(specs[name]) for name in SERVICES if name in specs}


def requests(spec: Any) -> Resources:
    """Returns what a pod requests: its containers together, or its largest init container."""
    containers = [_requested(container) for container in spec.containers]
    largest = [_requested(container) for container in spec.init_containers or []]
    return Resources(
        cpu=max([sum(one.cpu for one in containers), *(one.cpu for one in largest)]),
        memory=max([sum(one.memory for one in containers), *(one.memory for one in largest)]),
    )


def _requested(container: Any) -> Resources:
    requested = (container.resources and container.resources.requests) or {}
    return Resources(
        cpu=float(parse_quantity(requested.get("cpu", 0))), memory=float(parse_quantity(requested.get("memory", 0)))
    )


def missing_room(
    steps: Sequence[Step],
    present: Mapping[str, Split],
    pods: Mapping[str, Resources],
    nodes: Sequence[Resources],
) -> list[str]:
    """Returns a line for the first step whose pods do not fit; none if there is room for all steps.

    Between two steps the larger number of pods of each track runs. Pods go to the first node that has room, the
    largest ones first, as a scheduler might; the scheduler decides in the end.

    Args:
        steps: of the rollout, step 0 included.
        present: the pods of each service now.
        pods: what one pod of each service requests.
        nodes: what is left of each node.
    """
    previous = steps[0]
    for step in steps[1:]:
        splits = surge(previous, step)
        additional: list[str] = []
        for service in pods:
            now = present.get(service)
            number = splits[service].total - (now.total if now else 0)
            additional += [service] * max(0, number)
        unplaced = _place([(service, pods[service]) for service in additional], nodes)
        if unplaced:
            left = ", ".join(f"{node.cpu:.2f} CPU and {node.memory / 2**20:.0f} MiB" for node in nodes) or "no node"
            return [
                f"no room for {step.title}: {len(additional)} more pods are needed, and {len(unplaced)} of them "
                f"({', '.join(sorted(set(unplaced)))}) fit on no node. Left: {left}"
            ]
        previous = step
    return []


def _place(pods: Sequence[tuple[str, Resources]], nodes: Sequence[Resources]) -> list[str]:
    """The pods that fit on no node, if the largest are placed first."""
    left, unplaced = list(nodes), []
    for service, size in sorted(pods, key=lambda pod: (pod[1].memory, pod[1].cpu), reverse=True):
        index = next((index for index, node in enumerate(left) if node.fits(size)), None)
        if index is None:
            unplaced.append(service)
        else:
            left[index] -= size
    return unplaced
