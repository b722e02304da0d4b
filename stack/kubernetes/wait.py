"""Waiting for the cluster, with a limit: for workloads that become ready, and for everything else."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, TypeVar

import kubernetes

from contracts.metadata import SKIP_AWAIT, Manifest
from stack.errors import DeployError
from stack.kubernetes.certificates import Certificates
from stack.kubernetes.diagnosis import PodState, is_outdated, list_pods, pod_creation_failure, pod_state
from stack.kubernetes.objects import Objects

READY_SECONDS: Final = 300
POLL_SECONDS = 0.5
"""Pause between two looks at the cluster."""
WORKLOAD_KINDS: Final = ("Deployment", "StatefulSet")
_REPORT_SECONDS: Final = 10
_REFUSAL_SECONDS: Final = 15
"""Until a refused pod fails the deployment: a webhook or a quota may accept it after some seconds."""

Pending = TypeVar("Pending")


def wait_while(
    pending: Callable[[], Pending],
    *,
    deadline: float,
    every: float | None = None,
    report: Callable[[Pending], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Pending:
    """Waits while something is pending.

    Args:
        pending: Returns what is still awaited; an empty value ends the wait.
        deadline: When to give up, on `clock`.
        every: Seconds between two calls of `pending`; `POLL_SECONDS` by default.
        report: Takes what is still awaited, every 10 s.
        clock: Seconds.
        sleep: Waits for some seconds.

    Returns:
        What is still awaited at the deadline; an empty value if nothing is.
    """
    reported = clock()
    while remaining := pending():
        now = clock()
        if now > deadline:
            break
        if now - reported > _REPORT_SECONDS:
            reported = now
            report(remaining)
        sleep(POLL_SECONDS if every is None else every)
    return remaining


class Workload(NamedTuple):
    kind: str
    name: str


def wait_until_ready(
    client: kubernetes.client.ApiClient,
    namespace: str,
    manifests: Iterable[Manifest],
    on_progress: Callable[[str], None],
) -> None:
    """Waits until all replicas of every workload run what was applied and are available, with their certificates.

    Raises:
        DeployError: A pod cannot start, a certificate cannot be issued, or something is not ready in time.
    """
    started = time.monotonic()
    manifests = list(manifests)
    certificates = Certificates.of(manifests)
    waiting = {
        Workload(manifest["kind"], manifest["metadata"]["name"])
        for manifest in manifests
        if manifest["kind"] in WORKLOAD_KINDS and not SKIP_AWAIT.items() <= _annotations(manifest).items()
    }

    def failure(states: Mapping[str, PodState]) -> DeployError:
        reasons = "; ".join(f"{name}: {state}" for name, state in states.items())
        return DeployError(
            f"not ready after {time.monotonic() - started:.0f} s: {reasons}. "
            f"Look at `kubectl -n {namespace} describe pod` and `kubectl -n {namespace} logs` of these"
            + (f", and at `kubectl -n {namespace} describe certificates`" if certificates.names else "")
        )

    def unready() -> dict[str, PodState]:
        live = _list_workloads(client, namespace)
        seconds = time.monotonic() - started
        for workload in sorted(waiting):
            if workload in live and _is_rolled_out(live[workload]):
                waiting.discard(workload)
                if seconds > 2:
                    on_progress(f"ready after {seconds:.0f} s: {workload.name}")
        # Pods wait for their certificates, so these come first in a message.
        states = certificates.unready(client, namespace)
        if not waiting and not states:
            return {}
        pods = [pod for pod in list_pods(client, namespace) if not is_outdated(pod, live.values())]
        states |= {name: pod_state(pods, name) for name in sorted(workload.name for workload in waiting)}
        if seconds > _REFUSAL_SECONDS:
            # A pod that the API server refuses does not exist, so it has no state.
            for workload, item in live.items():
                if workload.name in states and (message := pod_creation_failure(item)):
                    states[workload.name] = PodState(message, cannot_start=True)
        if failed := {name: state for name, state in states.items() if state.cannot_start}:
            raise failure(failed)
        return states

    def report(states: Mapping[str, PodState]) -> None:
        on_progress("waiting for " + ", ".join(f"{name} ({state})" for name, state in states.items()))

    if remaining := wait_while(unready, deadline=started + READY_SECONDS, report=report):
        raise failure(remaining)


def _annotations(manifest: Manifest) -> Mapping[str, str]:
    return manifest["metadata"].get("annotations") or {}


def _list_workloads(client: kubernetes.client.ApiClient, namespace: str) -> dict[Workload, Manifest]:
    objects = Objects(client, namespace)
    return {
        Workload(kind, item["metadata"]["name"]): item
        for kind in WORKLOAD_KINDS
        for item in objects.list_kind("apps/v1", kind)
    }


def _is_rolled_out(workload: Manifest) -> bool:
    """Whether the controller has seen the newest specification, and all replicas run it and are available."""
    replicas, status = workload["spec"]["replicas"], workload["status"]
    return bool(
        (status.get("observedGeneration") or 0) >= workload["metadata"]["generation"]
        and (status.get("updatedReplicas") or 0) == replicas
        and (status.get("availableReplicas") or 0) == replicas
        and (status.get("replicas") or 0) == replicas
    )
