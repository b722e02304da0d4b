"""What the pods of a stack reserve: the sums over its manifests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kubernetes.utils.quantity import parse_quantity

from contracts.metadata import Manifest

_COMPONENT: Final = "app.kubernetes.io/component"


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Sums over pods."""

    pods: int
    cores: float
    memory: int
    """In bytes."""
    volumes: int
    """Bytes of persistent volumes."""
    pods_of: Mapping[str, int]
    """Component → its pods."""
    cores_of: Mapping[str, float]
    """Component → cores of its pods."""

    def times(self, count: int) -> "Resources":
        """Return the sums over so many stacks."""
        return Resources(
            pods=self.pods * count,
            cores=self.cores * count,
            memory=self.memory * count,
            volumes=self.volumes * count,
            pods_of={name: number * count for name, number in self.pods_of.items()},
            cores_of={name: number * count for name, number in self.cores_of.items()},
        )


def resources(manifests: Iterable[Manifest], autoscaled: int = 0) -> Resources:
    """Return the sums over the pods of all Deployments and StatefulSets.

    Args:
        manifests: of a stack.
        autoscaled: pods of a workload with an autoscaler, unless its smallest number is more.
    """
    manifests = list(manifests)
    scaled = {
        (item["spec"]["scaleTargetRef"]["kind"], item["spec"]["scaleTargetRef"]["name"]): max(
            item["spec"]["minReplicas"], autoscaled
        )
        for item in manifests
        if item["kind"] == "HorizontalPodAutoscaler"
    }
    pods, cores, memory, volumes = 0, 0.0, 0, 0
    pods_of: dict[str, int] = {}
    cores_of: dict[str, float] = {}
    for item in manifests:
        if item["kind"] not in ("Deployment", "StatefulSet"):
            continue
        component = item["metadata"]["labels"][_COMPONENT]
        default = scaled.get((item["kind"], item["metadata"]["name"]), 1)
        replicas = item["spec"].get("replicas", default)
        requests = [container["resources"]["requests"] for container in running(item)]
        of_pod = float(sum(parse_quantity(request["cpu"]) for request in requests))
        pods += replicas
        cores += replicas * of_pod
        memory += replicas * int(sum(parse_quantity(request["memory"]) for request in requests))
        for claim in item["spec"].get("volumeClaimTemplates", []):
            volumes += replicas * int(parse_quantity(claim["spec"]["resources"]["requests"]["storage"]))
        pods_of[component] = pods_of.get(component, 0) + replicas
        cores_of[component] = cores_of.get(component, 0.0) + replicas * of_pod
    return Resources(pods=pods, cores=cores, memory=memory, volumes=volumes, pods_of=pods_of, cores_of=cores_of)


def running(workload: Manifest) -> list[dict[str, Any]]:
    """Return the containers that run as long as a pod does: with its sidecars, without what has ended by then."""
    pod = workload["spec"]["template"]["spec"]
    sidecars = [container for container in pod.get("initContainers", []) if container.get("restartPolicy") == "Always"]
    return [*pod["containers"], *sidecars]
