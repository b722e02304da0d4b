"""Enlarges the volumes of a StatefulSet while its pods run.

The claims grow first. Then the StatefulSet is deleted without its pods and created again with the new claim templates,
which Kubernetes does not change in place. It adopts its running pods: none restarts.
"""

import copy
import json
import time
from collections.abc import Callable
from typing import Final

import kubernetes
from kubernetes.client import ApiException

from contracts.metadata import FIELD_MANAGER, PART_OF, Manifest
from stack.errors import DeployError
from stack.kubernetes.client import REQUEST_SECONDS
from stack.kubernetes.failures import api_message
from stack.kubernetes.keys import object_key
from stack.kubernetes.objects import Objects
from stack.kubernetes.volume_growth import Growth, is_larger, list_claims, resize_claim, small_claims
from stack.kubernetes.wait import wait_while

OWNERS: Final = f"{PART_OF}/owners"
"""Annotation of a StatefulSet that was created again: its managedFields before, until they are restored."""
RESIZE_SECONDS: Final = 600.0
_RECREATE_SECONDS: Final = 60.0


def enlarge_volumes(
    client: kubernetes.client.ApiClient,
    namespace: str,
    growth: Growth,
    on_progress: Callable[[str], None],
    *,
    limit: float = RESIZE_SECONDS,
) -> None:
    """Enlarges the volumes, waits for it, and gives the StatefulSet the new claim templates; no pod restarts.

    The next deployment continues an interrupted run: claims of the declared size are left alone, a StatefulSet that
    was deleted is created, and `restore_field_owners` gives fields back to their field managers.

    Raises:
        DeployError: The volumes were not enlarged in time.
    """
    for claim in small_claims(client, namespace, growth):
        resize_claim(client, namespace, claim)
        on_progress(f"persistentvolumeclaim/{claim.name}: {claim.size} → {claim.declared_size}")
    if unfinished := wait_while(
        lambda: _unfinished_resizes(client, namespace, growth),
        deadline=time.monotonic() + limit,
        report=lambda claims: on_progress(f"waiting for larger volumes: {'; '.join(claims)}"),
    ):
        raise DeployError(
            f"{growth.workload}: its volumes did not grow in time: {'; '.join(unfinished)}. Its claim templates are "
            "unchanged. `kubectl describe persistentvolumeclaim` shows the driver's messages. A driver that enlarges "
            f"only unused volumes needs `kubectl -n {namespace} rollout restart {growth.workload}`. Then deploy again"
        )
    _recreate(client, namespace, growth)
    sizes = ", ".join(growth.sizes.values())
    on_progress(f"{growth.workload}: created again around its running pods, with volumes of {sizes}")


def _unfinished_resizes(client: kubernetes.client.ApiClient, namespace: str, growth: Growth) -> list[str]:
    """Claims whose volumes are smaller than they request, each with the driver's conditions."""
    unfinished = []
    for claim, _ in list_claims(client, namespace, growth):
        capacity = (claim.status.capacity or {}).get("storage", "0")
        if is_larger(claim.spec.resources.requests["storage"], capacity):
            conditions = [f"{each.type}: {each.message or each.status}" for each in claim.status.conditions or []]
            details = f" ({', '.join(conditions)})" if conditions else ""
            unfinished.append(f"{claim.metadata.name} has {capacity}{details}")
    return unfinished


def _recreate(client: kubernetes.client.ApiClient, namespace: str, growth: Growth) -> None:
    """Replaces the StatefulSet by one with the new claim templates and the same owners of its fields."""
    objects = Objects(client, namespace)
    # Read again: an autoscaler may have changed the number of pods meanwhile.
    live = objects.get(object_key(growth.live)) or growth.live
    sets = kubernetes.client.AppsV1Api(client)
    sets.delete_namespaced_stateful_set(
        live["metadata"]["name"], namespace, propagation_policy="Orphan", _request_timeout=REQUEST_SECONDS
    )
    deadline = time.monotonic() + _RECREATE_SECONDS
    if wait_while(lambda: objects.get(object_key(live)), deadline=deadline, every=0.1):
        raise DeployError(
            f"{growth.workload} was deleted without its pods, and still exists after {_RECREATE_SECONDS:.0f} s. Its "
            "pods run. Deploy again when it is gone"
        )
    manifest = _with_sizes(live, growth.sizes)
    manifest["metadata"].setdefault("annotations", {})[OWNERS] = json.dumps(live["metadata"]["managedFields"])

    def quota_refusal() -> str:
        try:
            sets.create_namespaced_stateful_set(
                namespace, manifest, field_manager=FIELD_MANAGER, _request_timeout=REQUEST_SECONDS
            )
        except ApiException as error:
            if "exceeded quota" not in api_message(error):
                raise
            return api_message(error)
        return ""

    # A quota counts the deleted StatefulSet for a moment longer.
    if message := wait_while(quota_refusal, deadline=deadline, every=0.1):
        raise DeployError(
            f"{growth.workload} was deleted without its pods, and a quota refuses it: {message}. Its pods run. Deploy "
            "again when the quota has room for it"
        )
    restore_field_owners(client, namespace)


def restore_field_owners(client: kubernetes.client.ApiClient, namespace: str) -> None:
    """Gives the fields of StatefulSets that were created again back to their field managers.

    The request that creates an object owns all its fields, so a field that is no longer declared would stay. The
    annotation `OWNERS` keeps the previous managedFields if a deployment ends before this.
    """
    objects = Objects(client, namespace)

    def conflicts() -> list[ApiException]:
        errors = []
        for item in objects.list_kind("apps/v1", "StatefulSet"):
            if OWNERS not in (item["metadata"].get("annotations") or {}):
                continue
            try:
                kubernetes.client.AppsV1Api(client).patch_namespaced_stateful_set(
                    item["metadata"]["name"],
                    namespace,
                    {"metadata": _restored_owners(item)},
                    field_manager=FIELD_MANAGER,
                    _request_timeout=REQUEST_SECONDS,
                )
            except ApiException as error:
                if error.status != 409:
                    raise
                errors.append(error)
        return errors

    # The StatefulSet's controller writes its status at the same time, so a patch may conflict.
    if remaining := wait_while(conflicts, deadline=time.monotonic() + _RECREATE_SECONDS, every=0.1):
        raise remaining[0]


def _restored_owners(stateful_set: Manifest) -> Manifest:
    """The metadata that restores managedFields: the previous entries, and those of managers that came later."""
    metadata = stateful_set["metadata"]
    previous = json.loads(metadata["annotations"][OWNERS])
    known = {(FIELD_MANAGER, "Update", None), *map(_entry_id, previous)}
    return {
        "annotations": {OWNERS: None},
        "managedFields": [*previous, *(entry for entry in metadata["managedFields"] if _entry_id(entry) not in known)],
        "resourceVersion": metadata["resourceVersion"],
    }


def _entry_id(entry: Manifest) -> tuple[str, str, str | None]:
    """Return the fields that identify an entry of managedFields."""
    return entry["manager"], entry["operation"], entry.get("subresource")


def _with_sizes(live: Manifest, sizes: dict[str, str]) -> Manifest:
    """The StatefulSet as it can be created again, with other sizes of its claim templates."""
    manifest: Manifest = copy.deepcopy(live)
    manifest.pop("status", None)
    kept = ("name", "namespace", "labels", "annotations", "finalizers")
    metadata = {field: value for field, value in live["metadata"].items() if field in kept}
    # The deletion added the finalizer `orphan`.
    metadata["finalizers"] = [item for item in metadata.get("finalizers") or [] if item != "orphan"]
    manifest["metadata"] = metadata
    for template in manifest["spec"]["volumeClaimTemplates"]:
        if size := sizes.get(template["metadata"]["name"]):
            template["spec"]["resources"]["requests"]["storage"] = size
            template.pop("status", None)
    return manifest
