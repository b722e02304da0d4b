"""The revisions of the stack's workloads, each with what differs from the one before."""

from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from typing import Final

import kubernetes

from contracts.metadata import CHECKSUM, SECRETS_CHECKSUM, Manifest
from stack.explain.change import Change, seconds_of
from stack.explain.listing import list_objects
from stack.explain.writes import last_author, last_write
from stack.kubernetes.difference import Difference, differences

_APPS: Final = "/apis/apps/v1"
_NUMBER: Final = "deployment.kubernetes.io/revision"
_HASH: Final = "pod-template-hash"
_MAX_DIFFERENCES: Final = 3
_MAX_VALUE: Final = 80
"""Longer values are cut before they differ."""
_CHECKSUMS: Final = {CHECKSUM: "configuration, in its ConfigMap", SECRETS_CHECKSUM: "secrets"}


def revisions(client: kubernetes.client.ApiClient, namespace: str) -> Iterator[Change]:
    """Return the revisions of Deployments and StatefulSets that Kubernetes keeps, but for the first of each.

    Raises:
        ApiException: the API server refuses.
    """
    owners = {
        item["metadata"]["uid"]: (kind, item)
        for resource, kind in (("deployments", "Deployment"), ("statefulsets", "StatefulSet"))
        for item in list_objects(client, namespace, _APPS, resource)
    }
    by_owner: defaultdict[str, list[tuple[int, Manifest, Manifest]]] = defaultdict(list)
    for item in list_objects(client, namespace, _APPS, "replicasets"):
        number = int((item["metadata"].get("annotations") or {}).get(_NUMBER, 0))
        by_owner[_owner(item)].append((number, item, item["spec"]["template"]))
    for item in list_objects(client, namespace, _APPS, "controllerrevisions"):
        by_owner[_owner(item)].append((item["revision"], item, item["data"]["spec"]["template"]))
    for uid, of_owner in by_owner.items():
        if uid in owners:
            yield from _changes(*owners[uid], sorted(of_owner, key=lambda revision: revision[0]))


def _owner(item: Manifest) -> str:
    (owner,) = item["metadata"].get("ownerReferences") or [{"uid": ""}]
    return str(owner["uid"])


def _changes(kind: str, owner: Manifest, in_order: list[tuple[int, Manifest, Manifest]]) -> Iterator[Change]:
    newest, _, _ = in_order[-1]
    for (_, earlier, old), (number, later, new) in pairwise(in_order):
        seconds = seconds_of(later["metadata"]["creationTimestamp"])
        # An undone deployment makes an old revision the newest: Kubernetes gives it a new number, not a new time.
        if seconds < seconds_of(earlier["metadata"]["creationTimestamp"]):
            if number != newest:
                continue
            seconds = last_write(owner)
        name = owner["metadata"]["name"]
        author = last_author(owner, seconds)
        revision = f"{name} got revision {number}{f' ({author})' if author else ''}"
        yield Change(seconds=seconds, text=f"{revision}: {_differences(old, new)}", target=f"{kind} {name}")


def _differences(old: Manifest, new: Manifest) -> str:
    fields = sorted(differences(_pod(old), _pod(new)), key=lambda field: not field.path.endswith("].image"))
    texts = [_text(field) for field in fields[:_MAX_DIFFERENCES]]
    rest = [f"and {len(fields) - _MAX_DIFFERENCES} more"] if len(fields) > _MAX_DIFFERENCES else []
    return "; ".join([*texts, *rest]) or "the same pod template, started again"


def _text(field: Difference) -> str:
    for annotation, what in _CHECKSUMS.items():
        if field.path.endswith(annotation):
            return f"new {what}"
    if field.live is None or field.declared is None:
        return f"{field.path} {'added' if field.live is None else 'removed'}"
    if max(len(field.live), len(field.declared)) > _MAX_VALUE:
        return f"{field.path} changed"
    return f"{field.path}: {field.live} → {field.declared}"


def _pod(template: Manifest) -> Manifest:
    pod = {"kind": "Pod", "metadata": deepcopy(template.get("metadata") or {}), "spec": template["spec"]}
    (pod["metadata"].get("labels") or {}).pop(_HASH, None)
    return pod
