"""The pods of the stack that are not ready, and why, as the API server knows it."""

from collections.abc import Iterator
from typing import Any, Final

import kubernetes

from contracts.metadata import PART_OF
from stack.kubernetes.client import REQUEST_SECONDS

_SELECTOR: Final = f"app.kubernetes.io/part-of={PART_OF}"


def unready_pods(client: kubernetes.client.ApiClient, namespace: str) -> list[str]:
    """Return a sentence for each pod that is not ready. A pod that ended well is none of them.

    Raises:
        ApiException: the API server refuses.
    """
    core = kubernetes.client.CoreV1Api(client)
    pods = core.list_namespaced_pod(namespace, label_selector=_SELECTOR, _request_timeout=REQUEST_SECONDS)
    return [
        f"pod {pod.metadata.name} is not ready: {', '.join(_reasons(pod)) or pod.status.phase}"
        for pod in pods.items
        if pod.status.phase != "Succeeded" and not _is_ready(pod)
    ]


def _is_ready(pod: Any) -> bool:
    return any(condition.type == "Ready" and condition.status == "True" for condition in pod.status.conditions or [])


def _reasons(pod: Any) -> Iterator[str]:
    for status in pod.status.container_statuses or []:
        if not status.ready:
            state = status.state
            detail = state.waiting or state.terminated
            reason = detail.reason if detail else "runs, and its readiness probe fails"
            yield f"container {status.name}: {reason}, {status.restart_count} restarts"
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            yield str(condition.message)
