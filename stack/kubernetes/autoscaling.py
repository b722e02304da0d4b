"""Leaves the number of pods to an autoscaler where there is one.

If a field manager no longer declares a field that it alone owns, server-side apply removes the field, and the API
server sets the default: one pod. So another field manager takes the number over first, as Kubernetes documents for
transferring ownership. The autoscaler becomes the owner as soon as it changes the number.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import kubernetes
from kubernetes.dynamic.exceptions import ApiException

from contracts.metadata import FIELD_MANAGER, PART_OF, Manifest
from stack.kubernetes.keys import object_key, object_name
from stack.kubernetes.objects import Objects

HAND_OVER: Final = f"{PART_OF}-replicas"
"""Field manager that owns the number of pods until an autoscaler has changed it."""
_SCALABLE_KINDS: Final = ("Deployment", "StatefulSet")


class ScaleTarget(NamedTuple):
    """A workload whose number of pods an autoscaler sets."""

    kind: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Autoscaler:
    """A HorizontalPodAutoscaler."""

    name: str
    min_replicas: int
    declared: bool
    """Whether the stack declares it; otherwise someone else made it."""


def autoscalers(
    client: kubernetes.client.ApiClient, namespace: str, manifests: Iterable[Manifest]
) -> dict[ScaleTarget, Autoscaler]:
    """The autoscalers that the manifests declare, and the others in the namespace, by the workload that they scale."""
    own = {item["metadata"]["name"]: item for item in manifests if item["kind"] == "HorizontalPodAutoscaler"}
    scalers = {_target(item): _autoscaler(item, declared=True) for item in own.values()}
    try:
        listed = Objects(client, namespace).list_kind("autoscaling/v2", "HorizontalPodAutoscaler")
    except ApiException as error:
        if error.status != 403:
            raise
        listed = []  # without the right to list them, the declared ones are what can be known
    for item in listed:
        if item["metadata"]["name"] not in own:
            scalers.setdefault(_target(item), _autoscaler(item, declared=False))
    return scalers


def _target(autoscaler: Manifest) -> ScaleTarget:
    target = autoscaler["spec"]["scaleTargetRef"]
    return ScaleTarget(target["kind"], target["name"])


def _autoscaler(item: Manifest, *, declared: bool) -> Autoscaler:
    min_replicas = item["spec"].get("minReplicas") or 1
    return Autoscaler(name=item["metadata"]["name"], min_replicas=min_replicas, declared=declared)


@dataclass(frozen=True)
class Scaling:
    """Prepares manifests so that applying them leaves the number of pods to autoscalers."""

    objects: Objects
    autoscalers: dict[ScaleTarget, Autoscaler]

    def prepare(self, manifest: Manifest, on_progress: Callable[[str], None]) -> Manifest:
        """Returns a manifest that can be applied without changing a number of pods that an autoscaler sets."""
        target = ScaleTarget(manifest["kind"], manifest["metadata"]["name"])
        autoscaler = self.autoscalers.get(target)
        if target.kind not in _SCALABLE_KINDS or (autoscaler is None and "replicas" in manifest["spec"]):
            return manifest
        live = self.objects.get(object_key(manifest))
        if live is None:
            return self._create(manifest, autoscaler)
        if autoscaler and not autoscaler.declared and "replicas" in manifest["spec"]:
            if live["spec"]["replicas"] == 0:  # an autoscaler does not scale a workload of 0 pods
                return manifest
            on_progress(
                f"{object_name(manifest)}: horizontalpodautoscaler/{autoscaler.name}, not of this stack, sets the "
                "number of its pods"
            )
        if _owns_replicas(live):
            self._hand_over_replicas(manifest, live["spec"]["replicas"])
        return _without_replicas(manifest)

    def _create(self, manifest: Manifest, autoscaler: Autoscaler | None) -> Manifest:
        """Creates a workload with the autoscaler's minimum of pods, or with as many as a deleted one left behind."""
        replicas = max(autoscaler.min_replicas if autoscaler else 1, self._orphaned_pods(manifest))
        self.objects.apply(_with_replicas(manifest, replicas))
        self._hand_over_replicas(manifest, replicas)
        return _without_replicas(manifest)

    def _orphaned_pods(self, manifest: Manifest) -> int:
        """How many pods a StatefulSet needs so that it adopts all pods of one that was deleted without them."""
        if manifest["kind"] != "StatefulSet":
            return 0
        form = rf"{re.escape(manifest['metadata']['name'])}-(\d+)"
        ordinals = [
            int(match[1])
            for pod in self.objects.list_kind("v1", "Pod")
            if not pod["metadata"].get("ownerReferences") and (match := re.fullmatch(form, pod["metadata"]["name"]))
        ]
        return max(ordinals, default=-1) + 1

    def _hand_over_replicas(self, manifest: Manifest, replicas: int) -> None:
        metadata = {field: manifest["metadata"][field] for field in ("name", "namespace")}
        part: Manifest = {
            "apiVersion": manifest["apiVersion"],
            "kind": manifest["kind"],
            "metadata": metadata,
            "spec": {"replicas": replicas},
        }
        self.objects.apply(part, manager=HAND_OVER)


def _with_replicas(manifest: Manifest, replicas: int) -> Manifest:
    return {**manifest, "spec": {**manifest["spec"], "replicas": replicas}}


def _without_replicas(manifest: Manifest) -> Manifest:
    return {**manifest, "spec": {field: value for field, value in manifest["spec"].items() if field != "replicas"}}


def _owns_replicas(live: Manifest) -> bool:
    """Whether the stack's field manager owns the number of pods."""
    entries: list[dict[str, Any]] = live["metadata"].get("managedFields") or []
    return any(
        entry["manager"] == FIELD_MANAGER and "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {})
        for entry in entries
    )
