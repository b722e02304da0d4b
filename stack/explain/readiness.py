"""The pods of the stack that are not ready, and why, as the API server knows it."""

from collections.abc import Iterator

import kubernetes

from contracts.metadata import Manifest
from stack.explain.listing import stack_pods


def unready_pods(client: kubernetes.client.ApiClient, namespace: str) -> list[str]:
    """Return a sentence for each pod that is not ready. A pod that ended well is none of them.

    Raises:
        ApiException: the API server refuses.
    """
    return [
        f"pod {pod['metadata']['name']} is not ready: {', '.join(_reasons(pod)) or pod['status']['phase']}"
        for pod in stack_pods(client, namespace)
        if pod["status"].get("phase") != "Succeeded" and not _is_ready(pod)
    ]


def _is_ready(pod: Manifest) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _reasons(pod: Manifest) -> Iterator[str]:
    for status in pod["status"].get("containerStatuses") or ():
        if not status["ready"]:
            state = status.get("state") or {}
            detail = state.get("waiting") or state.get("terminated")
            reason = detail.get("reason") if detail else "runs, and its readiness probe fails"
            yield f"container {status['name']}: {reason}, {status['restartCount']} restarts"
    for condition in pod["status"].get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield str(condition.get("message"))
