"""Larger volumes: the claims grow where their StorageClass allows it, and the StatefulSet's template follows.

Kubernetes changes the size of a claim, and never the template of a StatefulSet that claims are made from. So the claims
are enlarged first; then the StatefulSet is deleted without its pods and made again with the new template. It takes its
running pods over: none restarts.
"""

import copy
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import kubernetes
from kubernetes.client import ApiException
from kubernetes.utils import parse_quantity

from contracts.metadata import FIELD_MANAGER, PART_OF, Manifest
from stack.errors import DeployError, reason
from stack.kubernetes.objects import ANSWER_SECONDS, Objects, key, name

if TYPE_CHECKING:
    from stack.kubernetes.dry_run import Change

OWNERS: Final = f"{PART_OF}/owners"
"""Annotation of a StatefulSet that was made again: who owned its fields, until they own them again."""
RESIZE_SECONDS: Final = 600.0
_GONE_SECONDS: Final = 60.0
_STORAGE: Final = ("resources", "requests", "storage")
_TEMPLATES: Final = ("spec", "volumeClaimTemplates")
SETTINGS: Final[dict[str, str]] = {
    "alertmanager": "alerting.volume",
    "collector": "collector.queueVolume",
    "grafana": "grafana.volume",
    "jaeger": "traces.volume",
    "kafka": "kafka.volume",
    "loki": "logs.volume",
    "postgres": "postgres.volume",
    "prometheus": "metrics.volume",
    "sampler": "collector.sampling.queueVolume",
    "tempo": "traces.volume",
    "tempo-block-builder": "traces.distributed.volume",
    "tempo-live-store": "traces.distributed.volume",
}
"""The setting that the size of a StatefulSet's volumes comes from."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim that has to grow."""

    name: str
    size: str
    wanted: str


@dataclass(frozen=True, kw_only=True)
class Growth:
    """A StatefulSet whose volumes become larger."""

    live: Manifest
    """As it is."""
    sizes: dict[str, str]
    """Size of each claim template, by its name, as it is to be."""

    @property
    def workload(self) -> str:
        return name(self.live)


def of(live: Manifest, manifest: Manifest, refused: "Sequence[Change]") -> Growth | None:
    """The growth that a manifest asks for; None if anything else is refused."""
    if manifest["kind"] != "StatefulSet":
        return None
    for change in refused:
        if change.path[:2] != _TEMPLATES or change.path[-3:] != _STORAGE or not _is_more(change.declared, change.live):
            return None
    sizes = {item["metadata"]["name"]: _size(item) for item in manifest["spec"]["volumeClaimTemplates"]}
    return Growth(live=live, sizes=sizes)


def without(live: Manifest, manifest: Manifest) -> Manifest:
    """A manifest with the claim templates that the StatefulSet has now."""
    return {
        **manifest,
        "spec": {**manifest["spec"], "volumeClaimTemplates": live["spec"]["volumeClaimTemplates"]},
    }


def _size(claim: Manifest) -> str:
    return str(claim["spec"]["resources"]["requests"]["storage"])


def _is_more(size: Any, other: Any) -> bool:
    return bool(parse_quantity(size) > parse_quantity(other))


def advice(manifest: Manifest, change: "Change") -> str | None:
    """What to do about a change of a claim template that cannot be carried out; None if it is none."""
    settings = {"storage": SETTINGS.get(manifest["metadata"]["name"]), "storageClassName": "cluster.storageClass"}
    if change.path[:2] != _TEMPLATES or change.path[-1] not in settings:
        return None
    field = ".".join(change.path[3:])
    setting = settings[change.path[-1]]
    said = f" (setting {setting})" if setting else ""
    if change.path[-3:] == _STORAGE and not _is_more(change.declared, change.live):
        why = "a volume cannot be made smaller"
    else:
        why = "Kubernetes does not change it for volumes that are there"
    return (
        f"{name(manifest)}: {field} of its volumes is {change.live} and would be {change.declared}{said}: {why}. "
        f"Set it back to {change.live}, or move the data: "
        'see "Volumes" in stack/README.md'
    )


def claims(client: kubernetes.client.ApiClient, namespace: str, growth: Growth) -> list[Claim]:
    """The claims that have to grow: those of all its pods, also of pods that were scaled away.

    One that is larger already, since somebody or a controller has enlarged it, stays as it is.
    """
    workload = re.escape(growth.live["metadata"]["name"])
    found = []
    core = kubernetes.client.CoreV1Api(client)
    for item in core.list_namespaced_persistent_volume_claim(namespace, _request_timeout=ANSWER_SECONDS).items:
        for template, wanted in growth.sizes.items():
            size = item.spec.resources.requests["storage"]
            if re.fullmatch(rf"{re.escape(template)}-{workload}-\d+", item.metadata.name) and _is_more(wanted, size):
                found.append(Claim(name=item.metadata.name, size=size, wanted=wanted))
    return found


def problems(client: kubernetes.client.ApiClient, namespace: str, growth: Growth) -> Iterator[str]:
    """Why the API server would not enlarge the claims, asked by a dry run."""
    setting = SETTINGS.get(growth.live["metadata"]["name"])
    for claim in claims(client, namespace, growth):
        try:
            _enlarge(client, namespace, claim, dry_run="All")
        except ApiException as error:
            said = f" (setting {setting})" if setting else ""
            yield (
                f"{growth.workload}: persistentvolumeclaim/{claim.name} has {claim.size} and would get "
                f"{claim.wanted}{said}, which the cluster refuses: {reason(error)}. Set it back to {claim.size}; or "
                "use a StorageClass with `allowVolumeExpansion: true`, or move the data to new volumes: "
                'see "Volumes" in stack/README.md'
            )
            return


def _enlarge(client: kubernetes.client.ApiClient, namespace: str, claim: Claim, **options: Any) -> None:
    kubernetes.client.CoreV1Api(client).patch_namespaced_persistent_volume_claim(
        claim.name,
        namespace,
        {"spec": {"resources": {"requests": {"storage": claim.wanted}}}},
        field_manager=FIELD_MANAGER,
        _request_timeout=ANSWER_SECONDS,
        **options,
    )


def carry_out(
    client: kubernetes.client.ApiClient,
    namespace: str,
    growth: Growth,
    say: Callable[[str], None],
    *,
    limit: float = RESIZE_SECONDS,
) -> None:
    """Enlarges the volumes, waits until they are, and gives the StatefulSet the new template; no pod restarts.

    Interrupted, it goes on from there: claims that have their size are left alone, and a StatefulSet that is away is
    made again by the deployment. One that has lost the owners of its fields gets them back with `finish`.

    Raises:
        DeployError: the volumes were not enlarged in time.
    """
    grown = claims(client, namespace, growth)
    for claim in grown:
        _enlarge(client, namespace, claim)
        say(f"persistentvolumeclaim/{claim.name}: {claim.size} → {claim.wanted}")
    _wait_enlarged(client, namespace, growth, say, time.monotonic() + limit)
    _renew(client, namespace, growth, say)


def _wait_enlarged(
    client: kubernetes.client.ApiClient, namespace: str, growth: Growth, say: Callable[[str], None], deadline: float
) -> None:
    said = time.monotonic()
    while left := _unfinished(client, namespace, growth):
        now = time.monotonic()
        if now > deadline:
            raise DeployError(
                f"{growth.workload}: its volumes did not grow in time: {'; '.join(left)}. Its template is as it was. "
                "`kubectl describe persistentvolumeclaim` says more. A driver that enlarges only volumes that are not "
                f"in use needs `kubectl -n {namespace} rollout restart {growth.workload}`. Then deploy again"
            )
        if now - said > 10:
            said = now
            say(f"waiting for larger volumes: {'; '.join(left)}")
        time.sleep(0.5)


def _unfinished(client: kubernetes.client.ApiClient, namespace: str, growth: Growth) -> list[str]:
    """Claims whose volumes are not as large as they ask for, and what the driver says of it."""
    workload = re.escape(growth.live["metadata"]["name"])
    core = kubernetes.client.CoreV1Api(client)
    left = []
    for item in core.list_namespaced_persistent_volume_claim(namespace, _request_timeout=ANSWER_SECONDS).items:
        if not any(re.fullmatch(rf"{re.escape(of)}-{workload}-\d+", item.metadata.name) for of in growth.sizes):
            continue
        has = (item.status.capacity or {}).get("storage", "0")
        if _is_more(item.spec.resources.requests["storage"], has):
            conditions = [f"{each.type}: {each.message or each.status}" for each in item.status.conditions or []]
            left.append(f"{item.metadata.name} has {has}" + (f" ({', '.join(conditions)})" if conditions else ""))
    return left


def _renew(client: kubernetes.client.ApiClient, namespace: str, growth: Growth, say: Callable[[str], None]) -> None:
    """The same StatefulSet with another template, its fields owned as before."""
    objects = Objects(client, namespace)
    # What has become of it meanwhile counts: an autoscaler may have changed its number of pods.
    live = objects.present(key(growth.live)) or growth.live
    sets = kubernetes.client.AppsV1Api(client)
    workload = live["metadata"]["name"]
    sets.delete_namespaced_stateful_set(
        workload, namespace, propagation_policy="Orphan", _request_timeout=ANSWER_SECONDS
    )
    deadline = time.monotonic() + _GONE_SECONDS
    while objects.present(key(live)):
        if time.monotonic() > deadline:
            raise DeployError(
                f"{growth.workload} was deleted without its pods, and is still there after {_GONE_SECONDS:.0f} s. Its "
                "pods run. Deploy again when it is gone"
            )
        time.sleep(0.1)
    renewed = _renewed(live, growth.sizes)
    renewed["metadata"].setdefault("annotations", {})[OWNERS] = json.dumps(live["metadata"]["managedFields"])
    while True:
        try:
            sets.create_namespaced_stateful_set(
                namespace, renewed, field_manager=FIELD_MANAGER, _request_timeout=ANSWER_SECONDS
            )
            break
        except ApiException as error:
            # A quota counts the one that is gone for a moment longer.
            if "exceeded quota" not in reason(error):
                raise
            if time.monotonic() > deadline:
                raise DeployError(
                    f"{growth.workload} was deleted without its pods, and a quota refuses it: {reason(error)}. Its "
                    "pods run. Deploy again when there is room in the quota"
                ) from None
        time.sleep(0.1)
    finish(client, namespace)
    say(f"{growth.workload}: made again around its running pods, with volumes of {', '.join(growth.sizes.values())}")


def finish(client: kubernetes.client.ApiClient, namespace: str) -> None:
    """Gives the fields of StatefulSets that were made again back to their owners.

    A new object's fields are all owned by the request that made it, and would stay when they are declared no more. A
    deployment that ended in between leaves the owners in an annotation.
    """
    sets = kubernetes.client.AppsV1Api(client)
    deadline = time.monotonic() + _GONE_SECONDS
    while left := [
        item
        for item in sets.list_namespaced_stateful_set(namespace, _request_timeout=ANSWER_SECONDS).items
        if OWNERS in (item.metadata.annotations or {})
    ]:
        for item in left:
            owners = json.loads(item.metadata.annotations[OWNERS])
            known = {(FIELD_MANAGER, "Update", None), *map(_owner, owners)}
            since = client.sanitize_for_serialization(item.metadata.managed_fields)
            metadata = {
                "annotations": {OWNERS: None},
                "managedFields": [*owners, *(entry for entry in since if _owner(entry) not in known)],
                "resourceVersion": item.metadata.resource_version,
            }
            try:
                sets.patch_namespaced_stateful_set(
                    item.metadata.name,
                    namespace,
                    {"metadata": metadata},
                    field_manager=FIELD_MANAGER,
                    _request_timeout=ANSWER_SECONDS,
                )
            except ApiException as error:
                # Its controller writes its status at the same time.
                if error.status != 409 or time.monotonic() > deadline:
                    raise


def _owner(entry: Manifest) -> tuple[str, str, str | None]:
    """What tells an entry of managedFields from the others."""
    return entry["manager"], entry["operation"], entry.get("subresource")


def _renewed(live: Manifest, sizes: dict[str, str]) -> Manifest:
    renewed: Manifest = copy.deepcopy(live)
    renewed.pop("status", None)
    kept = ("name", "namespace", "labels", "annotations", "finalizers")
    metadata = {field: value for field, value in live["metadata"].items() if field in kept}
    # The delete above put the finalizer there.
    metadata["finalizers"] = [item for item in metadata.get("finalizers") or [] if item != "orphan"]
    renewed["metadata"] = metadata
    for template in renewed["spec"]["volumeClaimTemplates"]:
        if wanted := sizes.get(template["metadata"]["name"]):
            template["spec"]["resources"]["requests"]["storage"] = wanted
            template.pop("status", None)
    return renewed
