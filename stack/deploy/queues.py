"""Collectors with a queue on their volume that a deployment would remove: their queues should be empty first."""

import re
from collections.abc import Iterable
from typing import Final

import kubernetes
from kubernetes.dynamic.exceptions import ApiException

from contracts import endpoints
from contracts.metadata import Manifest
from contracts.metrics import SENDING_QUEUE_SIZE
from stack.errors import DeployError
from stack.kubernetes.client import REQUEST_SECONDS
from stack.kubernetes.keys import ObjectKey
from stack.kubernetes.objects import Objects

_WITH_QUEUES: Final = (endpoints.COLLECTOR, endpoints.SAMPLER)
_QUEUE_SIZE: Final = re.compile(rf"^{SENDING_QUEUE_SIZE}(?:\{{[^}}]*\}})? (\S+)$", re.MULTILINE)


def removed_pods(
    client: kubernetes.client.ApiClient, namespace: str, manifests: Iterable[Manifest]
) -> dict[str, list[str]]:
    """The pods of Collectors that a deployment would remove, by StatefulSet. With an autoscaler it removes none."""
    declared = list(manifests)
    autoscaled = {item["metadata"]["name"] for item in declared if item["kind"] == "HorizontalPodAutoscaler"}
    replicas = {
        item["metadata"]["name"]: item["spec"].get("replicas", 1) for item in declared if item["kind"] == "StatefulSet"
    }
    objects = Objects(client, namespace)
    removed = {}
    for name in _WITH_QUEUES:
        try:
            live = objects.get(ObjectKey("apps/v1", "StatefulSet", name))
        except ApiException as error:
            if error.status != 403:  # a user without the right to read, as in a preview, is not refused for it
                raise
            continue
        if live is None or name in autoscaled:
            continue
        if pods := [f"{name}-{number}" for number in range(replicas.get(name, 0), live["spec"].get("replicas", 1))]:
            removed[name] = pods
    return removed


def queue_size(client: kubernetes.client.ApiClient, namespace: str, pod: str) -> int | None:
    """The number of spans, log records and metric points in a pod's queues; None if it cannot be read."""
    try:
        text = kubernetes.client.CoreV1Api(client).connect_get_namespaced_pod_proxy_with_path(
            f"{pod}:{endpoints.COLLECTOR_TELEMETRY_PORT}", namespace, "metrics", _request_timeout=REQUEST_SECONDS
        )
    except Exception:  # the pod does not run, cannot be reached, or the user has no right to ask it
        return None
    sizes = _QUEUE_SIZE.findall(str(text))
    return round(sum(map(float, sizes))) if sizes else None


def check_queues(
    client: kubernetes.client.ApiClient, namespace: str, manifests: Iterable[Manifest], *, leave_queues: bool
) -> list[str]:
    """Checks the queues of the Collectors that a deployment would remove.

    Args:
        client: From `connect`.
        namespace: The stack's namespace.
        manifests: The declared objects.
        leave_queues: Accept queues that are not empty: their items stay on the volumes.

    Returns:
        A line for each StatefulSet with fewer pods than now.

    Raises:
        DeployError: A queue is not empty; nothing was changed.
    """
    lines, full = [], []
    for name, pods in removed_pods(client, namespace, manifests).items():
        claims = ", ".join(f"data-{pod}" for pod in pods)
        lines.append(
            f"{', '.join(pods)}: will be removed. Items in their queues stay on the volumes ({claims}), which are "
            f"kept, until the pods run again; the metric {SENDING_QUEUE_SIZE} of {name} counts the items"
        )
        full += [f"{pod} has {size:,}" for pod in pods if (size := queue_size(client, namespace, pod))]
    if full and not leave_queues:
        raise DeployError(
            f"a deployment would remove Collectors whose queues are not empty: {'; '.join(full)} items in "
            f"{SENDING_QUEUE_SIZE}. Nothing was changed. Deploy again when it is 0; or leave the items on the "
            "volumes until the pods run again, with `./wct deploy --leave-queues`"
        )
    return lines
