"""Why the pods of a workload do not start."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import kubernetes

from contracts import endpoints, metadata
from contracts.metadata import Manifest
from lean_tracing import Redactor
from stack.kubernetes.keys import ObjectKey
from stack.kubernetes.objects import Objects

_BACKING_OFF: Final = ("ErrImagePull", "ImagePullBackOff", "CrashLoopBackOff")
_CANNOT_START: Final = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError")
_CACHE_NOT_SYNCED: Final = re.compile("failed to sync (secret|configmap) cache: timed out")
"""A busy API server has not sent the kubelet an object yet. The kubelet tries again."""
_MAX_RESTARTS: Final = 4
_KUBELET_BYTES: Final = 2048
"""What the kubelet keeps of the log of a container that left no message."""
_UTF8_BYTES: Final = 4
"""Of a character, at most; the kubelet may have cut one."""
_REVISION: Final = "controller-revision-hash"
"""Label of a StatefulSet's pods: the version of the specification that they have."""
_REDACTOR: Final = Redactor()


@dataclass(frozen=True)
class PodState:
    """The state of a workload's newest pod."""

    text: str
    cannot_start: bool = False
    """Whether waiting longer does not help."""

    def __str__(self) -> str:
        return f"cannot start, {self.text}" if self.cannot_start else self.text


def list_pods(client: kubernetes.client.ApiClient, namespace: str) -> list[Manifest]:
    """The pods of the stack."""
    selector = f"app.kubernetes.io/part-of={metadata.PART_OF}"
    return Objects(client, namespace).list_kind("v1", "Pod", label_selector=selector)


def pod_state(pods: Sequence[Manifest], workload: str) -> PodState:
    """The state of the newest pod of a workload."""
    own = [pod for pod in pods if _workload_name(pod["metadata"]["labels"]) == workload]
    if not own:
        return PodState("no pod yet")
    pod = max(own, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    for status in _container_statuses(pod):
        reason, message = _waiting(status)
        if reason in _CANNOT_START and not _CACHE_NOT_SYNCED.match(message):
            return PodState(f"{reason}: {message}", cannot_start=True)
        if reason == "CrashLoopBackOff" and status["restartCount"] >= _MAX_RESTARTS:
            last = status["lastState"].get("terminated") or {"exitCode": "?"}
            words = _last_words(last.get("message") or "")
            return PodState(f"{status['name']} exited {last['exitCode']}: {words}", cannot_start=True)
    for condition in pod["status"].get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return PodState(f"not scheduled: {condition.get('message')}")
    phase: str = pod["status"]["phase"]
    return PodState("starting" if phase == "Running" else phase.lower())


def is_outdated(pod: Manifest, workloads: Iterable[Manifest]) -> bool:
    """Whether a StatefulSet will replace the pod, as its specification has changed: then its state says nothing."""
    owners = {owner["name"] for owner in pod["metadata"].get("ownerReferences") or [] if owner["kind"] == "StatefulSet"}
    for workload in workloads:
        metadata, status = workload["metadata"], workload["status"]
        if metadata["name"] in owners and workload["kind"] == "StatefulSet":
            is_seen = (status.get("observedGeneration") or 0) >= metadata["generation"]
            return not is_seen or pod["metadata"]["labels"].get(_REVISION) != status.get("updateRevision")
    return False


def pod_creation_failure(workload: Manifest) -> str:
    """Why the API server refuses a Deployment's new pods; empty if it does not, or for another kind."""
    conditions = workload["status"].get("conditions") or []
    failures = [each for each in conditions if each["type"] == "ReplicaFailure" and each["status"] == "True"]
    return str(failures[0].get("message")) if failures else ""


def replace_backing_off_pods(
    client: kubernetes.client.ApiClient, namespace: str, on_progress: Callable[[str], None]
) -> None:
    """Deletes the pods whose kubelet backs off: their successors try at once, the kubelet up to 5 minutes later."""
    objects = Objects(client, namespace)
    for pod in list_pods(client, namespace):
        if any(_waiting(status)[0] in _BACKING_OFF for status in _container_statuses(pod)):
            name = pod["metadata"]["name"]
            objects.delete(ObjectKey("v1", "Pod", name), foreground=False)
            on_progress(f"pod {name} could not start: a new one tries at once")


def _last_words(message: str) -> str:
    """The end of a container's log as reports may quote it, or its termination message.

    The kubelet cuts the log without a look at its lines, and a part of a secret has no form by which it is found: the
    first line of a cut log is left out.
    """
    if len(message.encode()) >= _KUBELET_BYTES - _UTF8_BYTES:
        message = message.partition("\n")[2]
    return _REDACTOR.text(message)


def _container_statuses(pod: Manifest) -> list[Manifest]:
    status = pod["status"]
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _waiting(status: Manifest) -> tuple[str, str]:
    """The reason and the message of a container that waits; empty if it does not."""
    waiting = (status.get("state") or {}).get("waiting") or {}
    return waiting.get("reason") or "", waiting.get("message") or ""


def _workload_name(labels: Mapping[str, str]) -> str:
    name = labels.get("app.kubernetes.io/name", "")
    track = labels.get(metadata.TRACK)
    return endpoints.track(name, track) if track in metadata.TEMPORARY_TRACKS else name
