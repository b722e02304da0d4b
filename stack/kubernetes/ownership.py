"""Whose the objects of a stack's namespace are: the stack's, Kubernetes' own, or someone else's."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from contracts import metadata
from contracts.metadata import Manifest
from stack.kubernetes.keys import ObjectKey, object_key

# Kubernetes, Istio and OpenShift create these in every namespace, and create them again if they are deleted.
_IN_EVERY_NAMESPACE: Final = frozenset(
    {
        ("ServiceAccount", "default"),
        ("ConfigMap", "kube-root-ca.crt"),
        ("ConfigMap", "istio-ca-root-cert"),
        ("ConfigMap", "openshift-service-ca.crt"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Ownership:
    """The objects of a namespace, by owner, in no order."""

    own: list[Manifest]
    """Objects that the stack made, and their dependents (Pods, ReplicaSets, …)."""
    claims: list[Manifest]
    """PersistentVolumeClaims of the stack's StatefulSets, of deleted StatefulSets too."""
    issued: list[Manifest]
    """Secrets that cert-manager made for certificates of the stack, of deleted ones too."""
    ambient: list[Manifest]
    """Objects that Kubernetes creates in every namespace, or for every Service."""
    foreign: list[Manifest]
    """Objects that someone else made."""
    unlisted: list[str]
    """Kinds that the user may not list, or whose API does not answer: there may be objects of them."""


def sort_by_owner(objects: Iterable[Manifest], owned: Collection[ObjectKey], unlisted: Iterable[str] = ()) -> Ownership:
    """Sorts the objects of a namespace by owner.

    Args:
        objects: All of them.
        owned: The objects that the stack's engine made. The API server may list an object in another version of its
            API than it was made in, so only the group of the API counts.
        unlisted: Kinds that could not be listed.
    """
    listed = {identity(object_key(item)): item for item in objects}
    claims = {key for key, item in listed.items() if _is_claim(item)}
    own = _with_dependents(listed.keys() & {identity(key) for key in owned}, listed)
    certificates = {key.name for key in own if key.kind == "Certificate"}
    issued = {key for key, item in listed.items() if _is_issued(item, certificates)}
    services = {item["metadata"]["name"] for item in listed.values() if item["kind"] == "Service"}
    ambient = {
        key
        for key, item in listed.items()
        # Endpoints have the name of their Service, and no owner reference to it.
        if key[1:] in _IN_EVERY_NAMESPACE or (item["kind"] == "Endpoints" and item["metadata"]["name"] in services)
    }
    return Ownership(
        own=[listed[key] for key in listed if key in own - claims - issued],
        claims=[listed[key] for key in listed if key in claims],
        issued=[listed[key] for key in listed if key in issued],
        ambient=[listed[key] for key in listed if key in ambient - own - claims - issued],
        foreign=[listed[key] for key in listed if key not in own | claims | issued | ambient],
        unlisted=sorted(unlisted),
    )


def _with_dependents(keys: set[ObjectKey], listed: dict[ObjectKey, Manifest]) -> set[ObjectKey]:
    """Adds the objects with an owner reference to one of these, and their dependents in turn."""
    own = set(keys)
    while True:
        uids = {listed[key]["metadata"].get("uid") for key in own} - {None}
        dependents = {
            key
            for key, item in listed.items()
            if any(owner["uid"] in uids for owner in item["metadata"].get("ownerReferences") or ())
        }
        if dependents <= own:
            return own
        own |= dependents


def identity(key: ObjectKey) -> ObjectKey:
    """A key that is the same in all versions of the object's API: the group instead of the version."""
    group, slash, _ = key.api_version.rpartition("/")
    return key._replace(api_version=group if slash else "")


def is_labelled(manifest: Manifest) -> bool:
    """Whether an object has the labels of objects that the program made."""
    labels = manifest["metadata"].get("labels") or {}
    values = labels.get("app.kubernetes.io/part-of"), labels.get("app.kubernetes.io/managed-by")
    return values == (metadata.PART_OF, "pulumi")


def _is_claim(manifest: Manifest) -> bool:
    return is_labelled(manifest) and bool(manifest["metadata"]["name"].startswith("data-"))


def _is_issued(manifest: Manifest, certificates: Collection[str]) -> bool:
    """Whether cert-manager made a Secret for one of these certificates, or for one that the stack had before."""
    name = (manifest["metadata"].get("annotations") or {}).get(metadata.ISSUED_FOR)
    part_of = (manifest["metadata"].get("labels") or {}).get("app.kubernetes.io/part-of")
    return manifest["kind"] == "Secret" and bool(name) and (name in certificates or part_of == metadata.PART_OF)
