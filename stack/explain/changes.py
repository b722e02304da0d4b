"""What changed last in the cluster: the rollout, and the newest revisions of the stack's workloads."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import kubernetes

from contracts.metadata import PART_OF
from stack.kubernetes.client import REQUEST_SECONDS

_SELECTOR: Final = f"app.kubernetes.io/part-of={PART_OF}"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of a workload."""

    seconds: float
    """When, in s since the epoch."""
    text: str


def workload_changes(client: kubernetes.client.ApiClient, namespace: str) -> list[Change]:
    """Return the revisions of the workloads, and the restarts of their containers; the newest first.

    Raises:
        ApiException: the API server refuses.
    """
    return sorted((*_revisions(client, namespace), *_restarts(client, namespace)), key=lambda change: -change.seconds)


def _revisions(client: kubernetes.client.ApiClient, namespace: str) -> Iterator[Change]:
    apps = kubernetes.client.AppsV1Api(client)
    options: dict[str, Any] = {"label_selector": _SELECTOR, "_request_timeout": REQUEST_SECONDS}
    for replica_set in apps.list_namespaced_replica_set(namespace, **options).items:
        images = ", ".join(container.image for container in replica_set.spec.template.spec.containers)
        yield _revision(replica_set, f"deployed with {images}")
    for revision in apps.list_namespaced_controller_revision(namespace, **options).items:
        yield _revision(revision, f"has revision {revision.revision}")


def _revision(item: Any, text: str) -> Change:
    (owner,) = item.metadata.owner_references or [None]
    name = owner.name if owner else item.metadata.name
    return Change(seconds=item.metadata.creation_timestamp.timestamp(), text=f"{name} {text}")


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
