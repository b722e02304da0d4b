"""What the objects of a running stack note of its encryption: what it was to be, and what its pods may be.

`stack.components.encryption.noted_steps` writes the annotations.
"""

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from kubernetes.dynamic.exceptions import ApiException

from contracts.metadata import (
    AUTHORITY_FILE,
    ISSUER,
    OWN_AUTHORITY_FILE,
    PART_OF,
    SKIP_AWAIT,
    STEPPED,
    TRUST,
    Manifest,
    encryption_step,
)
from stack.components.encryption.settings import STEPS, setting_text
from stack.kubernetes.objects import Objects

VALUES: Final = [setting_text(value) for value in STEPS]
"""The values of a setting, in the order in which a running stack takes them."""
_LABELS: Final = f"app.kubernetes.io/part-of={PART_OF}"


@dataclass(frozen=True, kw_only=True)
class Noted:
    """The encryption of a stack, as its ConfigMap of the authority has it."""

    steps: Mapping[str, int]
    """Setting → index of its value, of the settings that the ConfigMap has."""
    wrong: Mapping[str, str] = field(default_factory=dict)
    """Setting → a value that does not exist: someone has edited the ConfigMap."""
    issuer: str | None = None
    """Who signs the certificates of servers; None if no one does, or if it is unknown."""
    authorities: frozenset[bytes] = frozenset()
    """What clients trust; empty if it cannot be read."""
    own: bytes | None = None
    """The certificate of the stack's own authority; None if it cannot be read."""
    trust: str | None = None
    """Changes with who signs, and with what clients trust."""

    @classmethod
    def of(cls, config_map: Manifest | None) -> Self:
        """Return what a ConfigMap has; without one, all connections are in clear."""
        if config_map is None:
            return cls(steps=dict.fromkeys(STEPPED, 0))
        annotations, data = _annotations(config_map), config_map.get("data") or {}
        values = {name: annotations[key] for name in STEPPED if (key := encryption_step(name)) in annotations}
        own = _certificates(data.get(OWN_AUTHORITY_FILE))
        return cls(
            steps={name: VALUES.index(value) for name, value in values.items() if value in VALUES},
            wrong={name: value for name, value in values.items() if value not in VALUES},
            issuer=annotations.get(ISSUER),
            authorities=frozenset(_certificates(data.get(AUTHORITY_FILE))),
            own=own[0] if len(own) == 1 else None,
            trust=annotations.get(TRUST),
        )


@dataclass(frozen=True, kw_only=True)
class Running:
    """What pods of a stack may have. A deployment that failed has replaced some of them."""

    steps: Mapping[str, frozenset[int]]
    """Setting → indices of its values."""
    trust: frozenset[str] = frozenset()
    """Values of `Noted.trust`."""

    @classmethod
    def of(cls, workloads: Iterable[Manifest] = ()) -> Self:
        """Return what workloads note, or their former revisions that still have pods.

        A workload that an earlier release has deployed notes nothing.
        """
        notes = [_annotations(item) for item in workloads]
        return cls(
            steps={
                name: frozenset(VALUES.index(value) for item in notes if (value := _step(item, name)) in VALUES)
                for name in STEPPED
            },
            trust=frozenset(item[TRUST] for item in notes if TRUST in item),
        )


def running_workloads(objects: Objects) -> list[Manifest]:
    """Return the workloads of a stack, and those former revisions of them that still have pods.

    Kubernetes copies the annotations of a workload to its revisions. Of workloads that a user has no right to list,
    nothing is returned.
    """
    deployments, stateful_sets = (_listed(objects, kind) for kind in ("Deployment", "StatefulSet"))
    former: list[Manifest] = []
    if any(_is_replaced(item) for item in deployments):
        former += [
            item
            for item in _listed(objects, "ReplicaSet")
            # No deployment waits for these workloads.
            if (item.get("status") or {}).get("replicas") and not SKIP_AWAIT.items() <= _annotations(item).items()
        ]
    statuses = [item.get("status") or {} for item in stateful_sets]
    if revisions := {
        status.get("currentRevision")
        for status in statuses
        if status.get("currentRevision") != status.get("updateRevision")
    }:
        former += [item for item in _listed(objects, "ControllerRevision") if item["metadata"]["name"] in revisions]
    return [*deployments, *stateful_sets, *former]


def _is_replaced(deployment: Manifest) -> bool:
    """Return whether a Deployment may still have pods of a former revision."""
    status = deployment.get("status") or {}
    return bool((status.get("updatedReplicas") or 0) < (status.get("replicas") or 0))


def _listed(objects: Objects, kind: str) -> list[Manifest]:
    try:
        return objects.list_kind("apps/v1", kind, label_selector=_LABELS)
    except ApiException as error:
        if error.status != 403:
            raise
        return []


def _step(annotations: Mapping[str, str], setting: str) -> str | None:
    return annotations.get(encryption_step(setting))


def _annotations(manifest: Manifest) -> dict[str, str]:
    return manifest["metadata"].get("annotations") or {}


def _certificates(pem: Any) -> list[bytes]:
    """Return authorities as DER; none of a text that someone has edited so that it is no PEM any more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=str(pem or ""))
    except (ssl.SSLError, ValueError):
        return []
    return context.get_ca_certs(binary_form=True)
