"""Numbers of pods that an autoscaler decides, not the program.

Server-side apply takes a field away that its last owner no longer declares, and the API server then puts its default
there: one pod. So the number gets another owner first, which Kubernetes documents as transferring ownership. The
autoscaler becomes its owner as soon as it changes it.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import kubernetes
from kubernetes.dynamic.exceptions import ApiException

from contracts.metadata import FIELD_MANAGER, PART_OF, Manifest
from stack.kubernetes.objects import ANSWER_SECONDS, Objects, key, name

HAND_OVER: Final = f"{PART_OF}-replicas"
"""Field manager that owns the number of pods until an autoscaler has changed it."""
SCALED: Final = ("Deployment", "StatefulSet")


@dataclass(frozen=True, kw_only=True)
class Autoscaler:
    """What decides on the number of pods of a workload."""

    name: str
    fewest: int
    declared: bool
    """Whether the stack made it; if not, somebody else did."""


Target = tuple[str, str]
"""Kind and name of a workload."""


def autoscalers(
    client: kubernetes.client.ApiClient, namespace: str, manifests: Iterable[Manifest]
) -> dict[Target, Autoscaler]:
    """The autoscalers of the stack and those that others have made in its namespace, by what they scale."""
    own = {item["metadata"]["name"]: item for item in manifests if item["kind"] == "HorizontalPodAutoscaler"}
    found = {_target(item): _autoscaler(item, declared=True) for item in own.values()}
    try:
        listed = (
            kubernetes.client.AutoscalingV2Api(client)
            .list_namespaced_horizontal_pod_autoscaler(namespace, _request_timeout=ANSWER_SECONDS)
            .items
        )
    except ApiException as error:
        if error.status != 403:
            raise
        listed = []  # who may not look at them made none, and the stack's own are known
    for item in map(client.sanitize_for_serialization, listed):
        if item["metadata"]["name"] not in own:
            found.setdefault(_target(item), _autoscaler(item, declared=False))
    return found


def _target(autoscaler: Manifest) -> Target:
    scaled = autoscaler["spec"]["scaleTargetRef"]
    return scaled["kind"], scaled["name"]


def _autoscaler(item: Manifest, *, declared: bool) -> Autoscaler:
    return Autoscaler(name=item["metadata"]["name"], fewest=item["spec"].get("minReplicas") or 1, declared=declared)


@dataclass(frozen=True)
class Scaling:
    """Leaves the number of pods to autoscalers."""

    objects: Objects
    autoscalers: dict[Target, Autoscaler]

    def prepare(self, manifest: Manifest, say: Callable[[str], None]) -> Manifest:
        """A manifest that can be applied without changing a number of pods that an autoscaler decides."""
        target = (manifest["kind"], manifest["metadata"]["name"])
        autoscaler = self.autoscalers.get(target)
        if target[0] not in SCALED or (autoscaler is None and "replicas" in manifest["spec"]):
            return manifest
        live = self.objects.present(key(manifest))
        if live is None:
            return self._made(manifest, autoscaler)
        if autoscaler and not autoscaler.declared and "replicas" in manifest["spec"]:
            if live["spec"]["replicas"] == 0:  # an autoscaler leaves such a workload alone
                return manifest
            say(f"{name(manifest)}: horizontalpodautoscaler/{autoscaler.name}, not of this stack, decides its pods")
        if _owns_replicas(live):
            self._own(manifest, live["spec"]["replicas"])
        return _without_replicas(manifest)

    def _made(self, manifest: Manifest, autoscaler: Autoscaler | None) -> Manifest:
        """One that is not there begins with the autoscaler's fewest pods, or with those that it left behind."""
        left = self._left_behind(manifest)
        most = max(autoscaler.fewest if autoscaler else 1, left)
        self.objects.apply(_with_replicas(manifest, most))
        self._own(manifest, most)
        return _without_replicas(manifest)

    def _left_behind(self, manifest: Manifest) -> int:
        """Pods of a StatefulSet that was deleted without them: so many that none of them is taken away."""
        if manifest["kind"] != "StatefulSet":
            return 0
        pods = kubernetes.client.CoreV1Api(self.objects.client).list_namespaced_pod(
            self.objects.namespace, _request_timeout=ANSWER_SECONDS
        )
        numbers = [
            int(match[1])
            for pod in pods.items
            if not pod.metadata.owner_references
            and (match := re.fullmatch(rf"{re.escape(manifest['metadata']['name'])}-(\d+)", pod.metadata.name))
        ]
        return max(numbers, default=-1) + 1

    def _own(self, manifest: Manifest, replicas: int) -> None:
        metadata = {key_: manifest["metadata"][key_] for key_ in ("name", "namespace")}
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
    return {**manifest, "spec": {key_: value for key_, value in manifest["spec"].items() if key_ != "replicas"}}


def _owns_replicas(live: Manifest) -> bool:
    """Whether the number of pods would go with our declaration of it."""
    entries: list[dict[str, Any]] = live["metadata"].get("managedFields") or []
    return any(
        entry["manager"] == FIELD_MANAGER and "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {})
        for entry in entries
    )
