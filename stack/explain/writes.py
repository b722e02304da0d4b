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
from stack.explain.change import Change, in_groups, seconds_of
from stack.explain.listing import list_objects
from stack.kubernetes.difference import CONTROLLERS

RELEASE_SECONDS: Final = 60.0
"""Writes of one manager belong together if the next is not later than this: a release waits for pods in between."""
REVISION_SECONDS: Final = 5.0
"""The longest time from a write to the revision that a controller makes of it."""
_MAX_OBJECTS: Final = 6
_PULUMI: Final = "pulumi-kubernetes"
"""Begin of the names that Pulumi takes for objects without a field manager of their own."""
_WORKLOADS: Final = (("/apis/apps/v1", "deployments", "Deployment"), ("/apis/apps/v1", "statefulsets", "StatefulSet"))
_OTHERS: Final = (
    ("/api/v1", "configmaps", "ConfigMap"),
    ("/api/v1", "secrets", "Secret"),
    ("/api/v1", "services", "Service"),
    ("/apis/networking.k8s.io/v1", "networkpolicies", "NetworkPolicy"),
)


@dataclass(frozen=True, kw_only=True)
class _Write:
    """The last write of an author to an object."""

    seconds: float
    author: str
    target: str
    """Kind and name of the object."""


def writes(client: kubernetes.client.ApiClient, namespace: str, revisions: Sequence[Change] = ()) -> Iterator[Change]:
    """Return the releases, and the changes by other managers than controllers.

    Args:
        client: reaches the API server.
        namespace: of the stack.
        revisions: of workloads; a write that made one of them is left out, since it is the same change.

    Raises:
        ApiException: the API server refuses.
    """
    single = [write for write in _all_writes(client, namespace) if not _made_revision(write, revisions)]
    single.sort(key=lambda write: (write.author, write.seconds))
    for author, of_author in groupby(single, key=lambda write: write.author):
        for group in in_groups(list(of_author), RELEASE_SECONDS):
            yield Change(seconds=group[-1].seconds, text=_text(author, group))


def _made_revision(write: _Write, revisions: Sequence[Change]) -> bool:
    return any(
        revision.target == write.target and abs(revision.seconds - write.seconds) <= REVISION_SECONDS
        for revision in revisions
    )


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


def last_author(item: Manifest, seconds: float) -> str:
    """Return who wrote the object at a time; empty if its last write was at another time."""
    authors = [_author(entry) for entry in _entries(item) if abs(_seconds(entry) - seconds) <= REVISION_SECONDS]
    return authors[-1] if authors else ""


def _author(entry: Mapping[str, Any]) -> str:
    manager = str(entry["manager"])
    return "a release" if manager == FIELD_MANAGER or manager.startswith(_PULUMI) else manager


def _all_writes(client: kubernetes.client.ApiClient, namespace: str) -> Iterator[_Write]:
    for api, resource, kind in (*_WORKLOADS, *_OTHERS):
        for item in list_objects(client, namespace, api, resource, metadata_only=True):
            target = f"{kind} {item['metadata']['name']}"
            for entry in _entries(item):
                yield _Write(seconds=_seconds(entry), author=_author(entry), target=target)


def _entries(item: Manifest) -> Iterator[Mapping[str, Any]]:
    for entry in item["metadata"].get("managedFields") or ():
        # The time is optional: an entry of the API server itself may have none.
        if entry["manager"] not in CONTROLLERS and not entry.get("subresource") and "time" in entry:
            yield entry


def _seconds(entry: Mapping[str, Any]) -> float:
    return seconds_of(entry["time"])


def _text(author: str, group: Sequence[_Write]) -> str:
    names = list(dict.fromkeys(write.target for write in reversed(group)))
    rest = f" and {len(names) - _MAX_OBJECTS} more objects" if len(names) > _MAX_OBJECTS else ""
    return f"{author} changed {', '.join(names[:_MAX_OBJECTS])}{rest}"
