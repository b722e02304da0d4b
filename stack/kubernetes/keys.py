"""Keys and names of objects. Apart from `objects.py`, because importing the Kubernetes client takes 0.25 s."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from contracts.metadata import Manifest

_MOST_NAMES: Final = 12
"""More names than that are a line that is hard to read; a new stack has 70."""


class ObjectKey(NamedTuple):
    """Identifies an object within its namespace."""

    api_version: str
    kind: str
    name: str

    def __str__(self) -> str:
        """The name that kubectl takes: `deployment/gateway`."""
        return f"{self.kind.lower()}/{self.name}"


def object_key(manifest: Manifest) -> ObjectKey:
    return ObjectKey(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"])


def object_name(manifest: Manifest) -> str:
    """The name that kubectl takes: `deployment/gateway`."""
    return f"{manifest['kind'].lower()}/{manifest['metadata']['name']}"


def object_names(manifests: Sequence[Manifest]) -> str:
    """The names of objects; of many objects each kind with its number: `service (16), deployment (4)`."""
    if len(manifests) <= _MOST_NAMES:
        return ", ".join(map(object_name, manifests))
    kinds = Counter(manifest["kind"].lower() for manifest in manifests)
    return ", ".join(f"{kind} ({number})" for kind, number in kinds.items())
