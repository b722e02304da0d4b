"""What is in a stack's namespace, and whose it is: the stack's, Kubernetes' own, or somebody else's."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from contracts import metadata
from contracts.metadata import Manifest
from stack.kubernetes.objects import Key, key

ROLLOUT: Final[frozenset[Key]] = frozenset(
    {("v1", "ConfigMap", "rollout"), ("coordination.k8s.io/v1", "Lease", "rollout")}
)
"""Journal and lock of a rollout: the stack's, and declared by no program."""

# Kubernetes and what is often added to it put these into every namespace, and put them back.
_EVERYWHERE: Final = frozenset(
    {
        ("ServiceAccount", "default"),
        ("ConfigMap", "kube-root-ca.crt"),
        ("ConfigMap", "istio-ca-root-cert"),
        ("ConfigMap", "openshift-service-ca.crt"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The objects of a namespace, whole, in no order."""

    own: list[Manifest]
    """What the stack made, and what became of it (Pods, ReplicaSets, …)."""
    claims: list[Manifest]
    """PersistentVolumeClaims of the stack's StatefulSets, also of those that are no more."""
    ambient: list[Manifest]
    """What Kubernetes puts into every namespace, or beside every Service."""
    foreign: list[Manifest]
    """What somebody else made."""
    unseen: list[str]
    """Kinds that whoever asks may not list, or whose API does not answer: there may be more of them."""


def contents(objects: Iterable[Manifest], owned: Collection[Key], unseen: Iterable[str] = ()) -> Contents:
    """Sorts the objects of a namespace by whose they are.

    Args:
        objects: all of them.
        owned: what the stack's engine says it made. An object may be listed in another version of its API than it was
            made in, so the group counts.
        unseen: kinds that could not be listed.
    """
    listed = {identity(key(item)): item for item in objects}
    claims = {which for which, item in listed.items() if _is_claim(item)}
    own = listed.keys() & {identity(item) for item in owned}
    # Whatever has an owner among the stack's objects is the stack's, too, and so on.
    grown = True
    while grown:
        owners = {listed[which]["metadata"].get("uid") for which in own} - {None}
        more = {
            which
            for which, item in listed.items()
            if any(owner["uid"] in owners for owner in item["metadata"].get("ownerReferences") or ())
        }
        grown = not more <= own
        own |= more
    services = {item["metadata"]["name"] for item in listed.values() if item["kind"] == "Service"}
    ambient = {
        which
        for which, item in listed.items()
        # Endpoints are made for a Service of their name, without naming it as their owner.
        if which[1:] in _EVERYWHERE or (item["kind"] == "Endpoints" and item["metadata"]["name"] in services)
    }
    return Contents(
        own=[listed[which] for which in listed if which in own - claims],
        claims=[listed[which] for which in listed if which in claims],
        ambient=[listed[which] for which in listed if which in ambient - own - claims],
        foreign=[listed[which] for which in listed if which not in own | claims | ambient],
        unseen=sorted(unseen),
    )


def identity(item: Key) -> Key:
    """The same for one object in all versions of its API."""
    api_version, kind, name_ = item
    group, slash, _ = api_version.rpartition("/")
    return (group if slash else "", kind, name_)


def labelled(item: Manifest) -> bool:
    """Whether an object says that the program made it."""
    labels = item["metadata"].get("labels") or {}
    said = labels.get("app.kubernetes.io/part-of"), labels.get("app.kubernetes.io/managed-by")
    return said == (metadata.PART_OF, "pulumi")


def _is_claim(item: Manifest) -> bool:
    return labelled(item) and bool(item["metadata"]["name"].startswith("data-"))
