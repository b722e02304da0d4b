"""Keys and names of objects. Apart from `objects.py`, because importing the Kubernetes client takes 0.25 s."""

from typing import NamedTuple

from contracts.metadata import Manifest


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
