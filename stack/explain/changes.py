"""What changed last in the cluster: releases, changes by hand, the revisions of the workloads, restarts."""

from collections.abc import Iterator
from itertools import chain
from typing import Final

import kubernetes

from contracts.metadata import PART_OF
from stack.explain.change import Change
from stack.explain.revisions import revisions
from stack.explain.writes import stopped_workloads, writes
from stack.kubernetes.client import REQUEST_SECONDS

_SELECTOR: Final = f"app.kubernetes.io/part-of={PART_OF}"


def stack_changes(client: kubernetes.client.ApiClient, namespace: str) -> list[Change]:
    """Return the changes that the API server still knows, the newest first. It knows no deleted object.

    Raises:
        ApiException: the API server refuses.
    """
    sources = (writes, stopped_workloads, revisions, _restarts)
    changes = chain.from_iterable(source(client, namespace) for source in sources)
    return sorted(changes, key=lambda change: -change.seconds)


def _restarts(client: kubernetes.client.ApiClient, namespace: str) -> Iterator[Change]:
    core = kubernetes.client.CoreV1Api(client)
    pods = core.list_namespaced_pod(namespace, label_selector=_SELECTOR, _request_timeout=REQUEST_SECONDS)
    for pod in pods.items:
        for status in pod.status.container_statuses or []:
            ended = status.last_state.terminated
            if status.restart_count and ended and ended.finished_at:
                reason = f"{ended.reason}, exit code {ended.exit_code}"
                yield Change(
                    seconds=ended.finished_at.timestamp(), text=f"pod {pod.metadata.name} restarted ({reason})"
                )
