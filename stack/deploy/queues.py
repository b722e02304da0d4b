"""Pods with a queue on their volume that a deployment would take away: they are named before it does."""

import re
from collections.abc import Iterable
from typing import Final

import kubernetes
from kubernetes.dynamic.exceptions import ApiException

from contracts import endpoints
from contracts.metadata import Manifest
from stack.errors import DeployError
from stack.kubernetes.objects import ANSWER_SECONDS, Objects

_QUEUEING: Final = (endpoints.COLLECTOR, endpoints.SAMPLER)
_SIZE: Final = re.compile(r"^otelcol_exporter_queue_size(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


def leaving(client: kubernetes.client.ApiClient, namespace: str, manifests: Iterable[Manifest]) -> dict[str, list[str]]:
    """Pods of Collectors that are there and declared no more, by StatefulSet; an autoscaler takes none away."""
    declared = list(manifests)
    scaled = {item["metadata"]["name"] for item in declared if item["kind"] == "HorizontalPodAutoscaler"}
    wanted = {
        item["metadata"]["name"]: item["spec"].get("replicas", 1) for item in declared if item["kind"] == "StatefulSet"
    }
    objects, found = Objects(client, namespace), {}
    for name in _QUEUEING:
        try:
            live = objects.present(("apps/v1", "StatefulSet", name))
        except ApiException as error:
            if error.status != 403:  # who may not look, as for a preview, is not refused for it
                raise
            continue
        if live is None or name in scaled:
            continue
        if pods := [f"{name}-{number}" for number in range(wanted.get(name, 0), live["spec"].get("replicas", 1))]:
            found[name] = pods
    return found


def waiting(client: kubernetes.client.ApiClient, namespace: str, pod: str) -> int | None:
    """Spans, log records and metric points in a pod's queues; None if it does not say."""
    try:
        text = kubernetes.client.CoreV1Api(client).connect_get_namespaced_pod_proxy_with_path(
            f"{pod}:{endpoints.COLLECTOR_TELEMETRY_PORT}", namespace, "metrics", _request_timeout=ANSWER_SECONDS
        )
    except Exception:  # not running, not reached, or whoever deploys may not ask
        return None
    found = _SIZE.findall(str(text))
    return round(sum(map(float, found))) if found else None


def look(
    client: kubernetes.client.ApiClient, namespace: str, manifests: Iterable[Manifest], *, leave: bool
) -> list[str]:
    """What is to be said of the pods that a deployment takes away.

    Args:
        client: from `connect`.
        namespace: the stack's.
        manifests: what is declared.
        leave: queues that are not empty may wait on their volumes.

    Raises:
        DeployError: something waits in a queue; nothing was changed.
    """
    lines, full = [], []
    for name, pods in leaving(client, namespace, manifests).items():
        claims = ", ".join(f"data-{pod}" for pod in pods)
        lines.append(
            f"{', '.join(pods)}: taken away. What is queued waits on the volumes ({claims}), which stay, until "
            f"{'they come' if len(pods) > 1 else 'it comes'} back; the metric otelcol_exporter_queue_size of {name} "
            "says how much that is"
        )
        full += [f"{pod} has {count:,}" for pod in pods if (count := waiting(client, namespace, pod))]
    if full and not leave:
        raise DeployError(
            f"a deployment would take Collectors away whose queues are not empty: {'; '.join(full)} items in "
            "otelcol_exporter_queue_size. Nothing was changed. Deploy again when it is 0; or let what is queued wait "
            "on the volumes until they come back, with ARGS=--leave-queues"
        )
    return lines
