"""Who wrote the stack's objects last, and when: releases, and changes by hand. The API server notes it.

Both engines, Pulumi and server-side apply, write under the stack's field manager, and an object that a release leaves
as it is keeps its time. So the objects of one release that changed have nearly the same time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import kubernetes

from contracts.metadata import FIELD_MANAGER, Manifest
from stack.explain.change import Change, seconds_of
from stack.explain.listing import list_objects
from stack.kubernetes.difference import CONTROLLERS

RELEASE_SECONDS: Final = 60.0
"""Writes of one manager belong together if the next is not later than this: a release waits for pods in between."""
_MAX_OBJECTS: Final = 6
_WORKLOADS: Final = (("/apis/apps/v1", "deployments", "Deployment"), ("/apis/apps/v1", "statefulsets", "StatefulSet"))
_OTHERS: Final = (
    ("/api/v1", "configmaps", "ConfigMap"),
    ("/api/v1", "secrets", "Secret"),
    ("/api/v1", "services", "Service"),
    ("/apis/networking.k8s.io/v1", "networkpolicies", "NetworkPolicy"),
)


@dataclass(frozen=True, kw_only=True)
class _Write:
    """The last write of a manager to an object."""

    seconds: float
    manager: str
    target: str
    """Kind and name of the object."""


def writes(client: kubernetes.client.ApiClient, namespace: str) -> Iterator[Change]:
    """Return the releases, and the changes by other managers than controllers.

    Raises:
        ApiException: the API server refuses.
    """
    single = list(_all_writes(client, namespace))
    single.sort(key=lambda write: (write.manager, write.seconds))
    for manager, of_manager in groupby(single, key=lambda write: write.manager):
        for group in _groups(list(of_manager)):
            yield Change(seconds=group[-1].seconds, text=_text(manager, group))


def stopped_workloads(client: kubernetes.client.ApiClient, namespace: str) -> Iterator[Change]:
    """Return the workloads that are scaled to 0. The API server notes no time of a write to a number of pods.

    Raises:
        ApiException: the API server refuses.
    """
    for api, resource, kind in _WORKLOADS:
        for item in list_objects(client, namespace, api, resource):
            if item["spec"].get("replicas") == 0:
                # A controller writes the status when the last pod ends.
                times = [_seconds(entry) for entry in item["metadata"].get("managedFields") or () if "time" in entry]
                yield Change(
                    seconds=max(times, default=0.0), text=f"{kind} {item['metadata']['name']} was scaled to 0 pods"
                )


def last_write(item: Manifest) -> float:
    """Return the time of the last write that is not a controller's, in s since the epoch; 0 if there is none."""
    return max(map(_seconds, _entries(item)), default=0.0)


def _all_writes(client: kubernetes.client.ApiClient, namespace: str) -> Iterator[_Write]:
    for api, resource, kind in (*_WORKLOADS, *_OTHERS):
        for item in list_objects(client, namespace, api, resource, metadata_only=True):
            target = f"{kind} {item['metadata']['name']}"
            for entry in _entries(item):
                yield _Write(seconds=_seconds(entry), manager=entry["manager"], target=target)


def _entries(item: Manifest) -> Iterator[Mapping[str, Any]]:
    for entry in item["metadata"].get("managedFields") or ():
        # The time is optional: an entry of the API server itself may have none.
        if entry["manager"] not in CONTROLLERS and not entry.get("subresource") and "time" in entry:
            yield entry


def _seconds(entry: Mapping[str, Any]) -> float:
    return seconds_of(entry["time"])


def _groups(in_order: Sequence[_Write]) -> Iterator[list[_Write]]:
    group: list[_Write] = []
    for write in in_order:
        if group and write.seconds - group[-1].seconds > RELEASE_SECONDS:
            yield group
            group = []
        group.append(write)
    yield group


def _text(manager: str, group: Sequence[_Write]) -> str:
    names = list(dict.fromkeys(write.target for write in reversed(group)))
    rest = f" and {len(names) - _MAX_OBJECTS} more objects" if len(names) > _MAX_OBJECTS else ""
    who = "a release" if manager == FIELD_MANAGER else manager
    return f"{who} changed {', '.join(names[:_MAX_OBJECTS])}{rest}"
