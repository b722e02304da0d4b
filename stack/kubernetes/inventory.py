"""The inventory: the objects that server-side apply made, in a ConfigMap of the namespace.

It is written before anything is applied, so that the run after an interrupted one still prunes what that one made.
"""

import json
from collections.abc import Callable, Iterable
from typing import Final

import kubernetes

from contracts import metadata
from contracts.metadata import Manifest
from stack.kubernetes.certificates import secret_of
from stack.kubernetes.keys import ObjectKey, object_key
from stack.kubernetes.objects import Objects, apply_object, read_object

INVENTORY: Final = "deployed-objects"
INVENTORY_KEY: Final = ObjectKey("v1", "ConfigMap", INVENTORY)


def read_inventory(client: kubernetes.client.ApiClient, namespace: str) -> set[ObjectKey]:
    """Reads what server-side apply made in the namespace; empty if Pulumi deployed it, or nothing is deployed.

    Raises:
        DeployError: It cannot be read.
    """
    stored = read_object(client, namespace, INVENTORY_KEY)
    return {ObjectKey(*item) for item in json.loads(stored["data"]["objects"])} if stored else set()


def write_inventory(objects: Objects, keys: Iterable[ObjectKey]) -> None:
    apply_object(
        objects,
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": INVENTORY,
                "namespace": objects.namespace,
                "labels": metadata.labels(INVENTORY, "deployment"),
            },
            "data": {"objects": json.dumps(sorted(keys), indent=1)},
        },
    )


def prune(objects: Objects, keys: Iterable[ObjectKey], on_progress: Callable[[str], None]) -> None:
    """Deletes objects that the program no longer declares."""
    for key in sorted(keys):
        if objects.delete(key, foreground=False):
            on_progress(f"pruned {key}")
        if secret := secret_of(key):
            objects.delete(secret, foreground=False)


def hand_over_to_pulumi(
    client: kubernetes.client.ApiClient,
    namespace: str,
    manifests: list[Manifest],
    on_progress: Callable[[str], None],
) -> None:
    """Prunes what Pulumi did not take over, and deletes the inventory. Pulumi's state is the inventory from then on."""
    objects = Objects(client, namespace)
    declared = {object_key(manifest) for manifest in manifests}
    prune(objects, read_inventory(client, namespace) - declared, on_progress)
    objects.delete(INVENTORY_KEY, foreground=False)
