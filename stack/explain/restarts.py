"""The restarts of the stack's containers, each with its reason; those of one moment are one change."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import kubernetes

from contracts.metadata import Manifest
from stack.explain.change import Change, in_groups, seconds_of
from stack.explain.listing import list_objects, stack_pods

_TOGETHER_SECONDS: Final = 60.0
"""Restarts with the same reason belong together if the next is not later than this: the machine restarted."""
_MAX_PODS: Final = 4
_FAILED_PROBE: Final = re.compile(r"failed (liveness|startup) probe")
_KILL_SECONDS: Final = 120.0
"""The longest time from the kubelet's decision to the end of the container: it has this long to shut down."""


@dataclass(frozen=True, kw_only=True)
class _Restart:
    """The last restart of a container."""

    pod: str
    seconds: float
    reason: str


def restarts(client: kubernetes.client.ApiClient, namespace: str) -> Iterator[Change]:
    """Return the last restart of each container.

    Raises:
        ApiException: the API server refuses.
    """
    events = list_objects(client, namespace, "/api/v1", "events")
    single = [restart for pod in stack_pods(client, namespace) for restart in _of_pod(pod, events)]
    single.sort(key=lambda restart: (restart.reason, restart.seconds))
    for reason, of_reason in groupby(single, key=lambda restart: restart.reason):
        for group in in_groups(list(of_reason), _TOGETHER_SECONDS):
            names = list(dict.fromkeys(restart.pod for restart in group))
            rest = f" and {len(names) - _MAX_PODS} more pods" if len(names) > _MAX_PODS else ""
            pods = f"{'pods' if len(names) > 1 else 'pod'} {', '.join(names[:_MAX_PODS])}{rest}"
            yield Change(seconds=group[-1].seconds, text=f"{pods} restarted ({reason})")


def _of_pod(pod: Manifest, events: Sequence[Manifest]) -> Iterator[_Restart]:
    for status in pod["status"].get("containerStatuses") or ():
        ended = (status.get("lastState") or {}).get("terminated")
        if status["restartCount"] and ended and ended.get("finishedAt"):
            seconds = seconds_of(ended["finishedAt"])
            probe = _failed_probe(pod, status["name"], seconds, events)
            reason = (
                f"killed: its {probe} probe failed" if probe else f"{ended['reason']}, exit code {ended['exitCode']}"
            )
            yield _Restart(pod=pod["metadata"]["name"], seconds=seconds, reason=reason)


def _failed_probe(pod: Manifest, container: str, ended: float, events: Sequence[Manifest]) -> str | None:
    """Return which probe made the kubelet kill a container: the status of the container tells only how it ended."""
    for event in events:
        involved = event["involvedObject"]
        is_kill = event.get("reason") == "Killing" and involved.get("uid") == pod["metadata"]["uid"]
        if not is_kill or involved.get("fieldPath") != f"spec.containers{{{container}}}":
            continue
        match = _FAILED_PROBE.search(event.get("message", ""))
        if match and event.get("lastTimestamp") and -1 <= ended - seconds_of(event["lastTimestamp"]) <= _KILL_SECONDS:
            return match[1]
    return None
