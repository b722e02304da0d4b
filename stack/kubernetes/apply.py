"""The engine where there is no Pulumi CLI: server-side apply of the rendered program, readiness, pruning.

Same objects, same waits as `pulumi up`. What was applied is kept in a ConfigMap of the namespace, written before
anything is applied, so that an interrupted run still prunes what it made. What the API server would refuse is found by
a dry run of everything, before anything is changed.
"""

import base64
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import kubernetes
import urllib3
from kubernetes.dynamic.exceptions import ApiException

from contracts import endpoints, metadata
from contracts.metadata import Manifest
from stack.errors import DeployError as DeployError
from stack.errors import reason
from stack.kubernetes import dry_run, volume_growth
from stack.kubernetes.autoscaling import Scaling, autoscalers
from stack.kubernetes.objects import ANSWER_SECONDS, Key, Objects, key, name
from stack.kubernetes.settings import Cluster

INVENTORY: Final = "deployed-objects"
INVENTORY_KEY: Final[Key] = ("v1", "ConfigMap", INVENTORY)
READY_SECONDS: Final = 300
_REFUSED_SECONDS: Final = 15
"""Longer than a webhook or a quota takes to let a pod pass after all."""


def connect(cluster: Cluster) -> kubernetes.client.ApiClient:
    """Client for the context that the settings name.

    Raises:
        DeployError: the context is not in the kubeconfig, or its cluster does not answer.
    """
    try:
        configuration = kubernetes.client.Configuration()
        kubernetes.config.load_kube_config(
            config_file=cluster.kubeconfig, context=cluster.context, client_configuration=configuration
        )
    except (kubernetes.config.ConfigException, OSError) as error:
        raise DeployError(
            f"kube context {cluster.context!r} cannot be used: {str(error).rstrip('.')}. "
            "`kubectl config get-contexts` lists yours; `cluster.context` in the stack file names the one to use"
        ) from None
    client = kubernetes.client.ApiClient(configuration)
    try:
        kubernetes.client.VersionApi(client).get_code(_request_timeout=5)
    except Exception as error:
        raise DeployError(f"the cluster of context {cluster.context!r} does not answer: {error}") from None
    return client


def read(client: kubernetes.client.ApiClient, namespace: str, which: Key) -> Manifest | None:
    """An object; None if there is none.

    Raises:
        DeployError: it cannot be read.
    """
    try:
        return Objects(client, namespace).present(which)
    except ApiException as error:
        raise DeployError(f"{which[1]} {namespace}/{which[2]} cannot be read: {reason(error)}") from None


def existing_secret(client: kubernetes.client.ApiClient, namespace: str, name: str) -> dict[str, str]:
    """Values of a Secret that is there, decoded; empty if it is not."""
    secret = read(client, namespace, ("v1", "Secret", name)) or {}
    return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}


def refuse_foreign(client: kubernetes.client.ApiClient, namespace: str, stack: str, *, lenient: bool = False) -> bool:
    """Whether the namespace, which is this stack's, is there. One without a stack's name is of an earlier release.

    Args:
        client: from `connect`.
        namespace: the stack's namespace.
        stack: its name.
        lenient: who asks may lack the right to read namespaces, as for a preview; one that is hidden is taken as there.

    Raises:
        DeployError: it belongs to another stack or to something else, whose objects of the same names would be
            overwritten.
    """
    try:
        found = Objects(client, namespace).present(("v1", "Namespace", namespace))
    except ApiException as error:
        if lenient and error.status == 403:
            return True
        raise DeployError(f"namespace {namespace} cannot be read: {reason(error)}. Nothing was changed") from None
    if found is None:
        return False
    if (found["metadata"].get("labels") or {}).get("app.kubernetes.io/part-of") != metadata.PART_OF:
        raise DeployError(
            f"namespace {namespace} exists and is not of {metadata.PART_OF}: nothing was changed. Name another one in "
            f"`cluster.namespace`, or hand it over with "
            f"`kubectl label namespace {namespace} app.kubernetes.io/part-of={metadata.PART_OF}`"
        )
    owner = (found["metadata"].get("annotations") or {}).get(metadata.STACK, stack)
    if owner != stack:
        raise DeployError(
            f"namespace {namespace} belongs to stack {owner}, not to {stack}: nothing was changed. Give stack {stack} "
            f"a `cluster.namespace` of its own; or, if stack {owner} is gone for good, hand the namespace over with "
            f"`kubectl annotate namespace {namespace} {metadata.STACK}-`"
        )
    return True


def apply(
    client: kubernetes.client.ApiClient, namespace: str, manifests: list[Manifest], say: Callable[[str], None]
) -> None:
    """Brings the namespace to what the manifests say, waits until all of it is ready, deletes what they no longer have.

    Args:
        client: from `connect`.
        namespace: the stack's namespace.
        manifests: in the order in which they can be applied.
        say: takes a line of progress.

    Raises:
        DeployError: the API server would refuse an object, and nothing was changed; or an object did not become ready,
            or the cluster no longer answers. The message says what was changed until then. Nothing is pruned, and a
            second run goes on from there.
    """
    progress = _Progress(all=[name(manifest) for manifest in manifests])
    try:
        enlarged = dry_run.require(client, namespace, manifests)
        volume_growth.finish(client, namespace)
        for item in enlarged:
            progress.changed.append(f"the volumes of {item.workload}")
            volume_growth.carry_out(client, namespace, item, say)
        _bring_to(client, namespace, manifests, say, progress)
    except DeployError as error:
        raise DeployError(f"{error}{progress}") from None
    except ApiException as error:
        raise DeployError(f"the API server refused a request: {reason(error)}{progress}") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise DeployError(
            f"the cluster stopped answering during the deployment ({error.__class__.__name__}). "
            f"Deploy again when it is back: that goes on from here{progress}"
        ) from error


@dataclass
class _Progress:
    """How far a deployment came: the names of its objects."""

    all: list[str]
    changed: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    """As declared already."""

    def __str__(self) -> str:
        """Empty before the first change."""
        if not self.changed:
            return ""
        rest = [item for item in self.all if item not in {*self.changed, *self.same}]
        return (
            f"\n  changed before that: {', '.join(self.changed)}"
            f"\n  not reached: {', '.join(rest) or 'nothing, all is applied'}"
            "\n  the next deployment goes on from there"
        )


def _bring_to(
    client: kubernetes.client.ApiClient,
    namespace: str,
    manifests: list[Manifest],
    say: Callable[[str], None],
    progress: _Progress,
) -> None:
    objects = Objects(client, namespace)
    wanted = {key(manifest) for manifest in manifests}
    first, *rest = manifests
    # The namespace, without which there is no place for the inventory.
    is_new = objects.present(key(first)) is None
    (progress.changed if _apply(objects, first) else progress.same).append(name(first))
    if is_new:
        # Without its namespace the cluster could not be asked about the rest.
        dry_run.require(client, namespace, manifests, changed="Nothing but its namespace was made.")
    before = inventory(client, namespace)
    _write_inventory(objects, before | wanted)
    # An autoscaler that is declared no more would change the number of pods that is declared from now on.
    _prune(objects, {which for which in before - wanted if which[1] == "HorizontalPodAutoscaler"}, say)
    scaling = Scaling(objects, autoscalers(client, namespace, manifests))
    count = 0
    groups = in_turn(rest) if _serves(client, namespace) else [rest]
    for group in groups:
        changed = []
        for manifest in group:
            if _apply(objects, scaling.prepare(manifest, say)):
                changed.append(manifest)
                progress.changed.append(name(manifest))
            else:
                progress.same.append(name(manifest))
        if changed:
            say(f"changed {', '.join(map(name, changed))}")
        if group is groups[0]:
            _try_again_now(client, namespace, say)
        _wait(client, namespace, changed if group is not groups[-1] else manifests, say)
        count += len(changed)
    say(f"all {len(manifests)} objects are as declared, {count} had to change")
    _prune(objects, before - wanted, say)
    _write_inventory(objects, wanted)


def in_turn(manifests: list[Manifest]) -> list[list[Manifest]]:
    """All but the services, then these one by one: the new pods of all at once would starve those that serve.

    Whoever is asked comes before whoever asks, as `stack.components.services` says it to Pulumi.
    """
    ranks = {name: rank for rank, name in enumerate(reversed(endpoints.SERVICES), 1)}

    def rank(manifest: Manifest) -> int:
        if manifest["kind"] != "Deployment":
            return 0
        # The pods' name, which both tracks share.
        return ranks.get(manifest["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"], 0)

    return [group for turn in range(len(ranks) + 1) if (group := [item for item in manifests if rank(item) == turn])]


def _serves(client: kubernetes.client.ApiClient, namespace: str) -> bool:
    """Whether a service is there that could be starved."""
    found = kubernetes.client.AppsV1Api(client).list_namespaced_deployment(namespace, _request_timeout=ANSWER_SECONDS)
    return any(item.metadata.name in endpoints.SERVICES for item in found.items)


def was_applied(client: kubernetes.client.ApiClient, namespace: str) -> bool:
    """Whether the namespace holds what server-side apply deployed, so that `pulumi up` has to take it over."""
    return bool(inventory(client, namespace))


def hand_over(
    client: kubernetes.client.ApiClient, namespace: str, manifests: list[Manifest], say: Callable[[str], None]
) -> None:
    """Leaves a namespace to Pulumi, which has just taken over the manifests' objects: deletes what is left besides."""
    objects = Objects(client, namespace)
    wanted = {key(manifest) for manifest in manifests}
    _prune(objects, inventory(client, namespace) - wanted, say)
    objects.delete(INVENTORY_KEY, foreground=False)


def _prune(objects: Objects, keys: Iterable[Key], say: Callable[[str], None]) -> None:
    for which in sorted(keys):
        if objects.delete(which, foreground=False):
            say(f"pruned {which[1].lower()}/{which[2]}")


_WORKLOADS: Final = ("Deployment", "StatefulSet")
_BACKING_OFF: Final = ("ErrImagePull", "ImagePullBackOff", "CrashLoopBackOff")


def _apply(objects: Objects, manifest: Manifest) -> bool:
    """Applies one object; says whether that changed it."""
    try:
        before = objects.present(key(manifest))
        after = objects.apply(manifest)
    except ApiException as error:
        raise DeployError(f"{name(manifest)} was refused: {reason(error)}") from None
    return not before or bool(after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"])


def inventory(client: kubernetes.client.ApiClient, namespace: str) -> set[Key]:
    """What server-side apply made in the namespace; empty where something else deployed it, or nothing did."""
    stored = read(client, namespace, INVENTORY_KEY)
    listed = json.loads(stored["data"]["objects"]) if stored else []
    return {(api_version, kind, name_) for api_version, kind, name_ in listed}


def _write_inventory(objects: Objects, keys: Iterable[Key]) -> None:
    _apply(
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


def _wait(
    client: kubernetes.client.ApiClient, namespace: str, manifests: list[Manifest], say: Callable[[str], None]
) -> None:
    """Waits until every workload of these runs what was applied, in full; names each as it gets there."""
    apps, core = kubernetes.client.AppsV1Api(client), kubernetes.client.CoreV1Api(client)
    waiting = {
        (manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests if manifest["kind"] in _WORKLOADS
    }
    started = said = time.monotonic()
    limit = {"_request_timeout": ANSWER_SECONDS}
    while True:
        deployments = apps.list_namespaced_deployment(namespace, **limit).items
        stateful_sets = apps.list_namespaced_stateful_set(namespace, **limit).items
        found = {("Deployment", item.metadata.name): item for item in deployments}
        found |= {("StatefulSet", item.metadata.name): item for item in stateful_sets}
        now = time.monotonic()
        for which in sorted(waiting):
            if which in found and _rolled_out(found[which]):
                waiting.discard(which)
                if now - started > 2:
                    say(f"ready after {now - started:.0f} s: {which[1]}")
        if not waiting:
            return
        names = sorted(name for _, name in waiting)
        pods = core.list_namespaced_pod(
            namespace, label_selector=f"app.kubernetes.io/part-of={metadata.PART_OF}", **limit
        ).items
        states = {name: _pod_state(pods, name) for name in names}
        for (_, workload), item in found.items():
            # A pod that was refused is not there, so it has no state.
            if workload in states and now - started > _REFUSED_SECONDS and (refused := _refused_pods(item)):
                states[workload] = f"cannot start, {refused}"
        hopeless = {name: state for name, state in states.items() if state.startswith("cannot start")}
        if hopeless or now - started > READY_SECONDS:
            why = "; ".join(f"{name}: {state}" for name, state in (hopeless or states).items())
            raise DeployError(
                f"not ready after {now - started:.0f} s: {why}. "
                f"Look at `kubectl -n {namespace} describe pod` and `kubectl -n {namespace} logs` of these"
            )
        if now - said > 10:
            said = now
            say("waiting for " + ", ".join(f"{name} ({state})" for name, state in states.items()))
        time.sleep(0.5)


def _try_again_now(client: kubernetes.client.ApiClient, namespace: str, say: Callable[[str], None]) -> None:
    """Pods that could not start before get successors: the kubelet's own next try may be five minutes away."""
    core = kubernetes.client.CoreV1Api(client)
    pods = core.list_namespaced_pod(
        namespace, label_selector=f"app.kubernetes.io/part-of={metadata.PART_OF}", _request_timeout=ANSWER_SECONDS
    ).items
    for pod in pods:
        statuses = [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]
        if any(status.state.waiting and status.state.waiting.reason in _BACKING_OFF for status in statuses):
            core.delete_namespaced_pod(pod.metadata.name, namespace, _request_timeout=ANSWER_SECONDS)
            say(f"pod {pod.metadata.name} could not start before: a new one tries at once")


def _rolled_out(item: Any) -> bool:
    """Whether the controller has seen the newest specification and all replicas run it, available."""
    replicas, status = item.spec.replicas, item.status
    ready = status.available_replicas or 0
    return bool(
        (status.observed_generation or 0) >= item.metadata.generation
        and (status.updated_replicas or 0) == replicas
        and ready == replicas
        and (status.replicas or 0) == replicas
    )


def _refused_pods(item: Any) -> str:
    """Why the API server makes none of a Deployment's new pods; empty if it does, or for another kind."""
    conditions = item.status.conditions or []
    return next(
        (str(each.message) for each in conditions if each.type == "ReplicaFailure" and each.status == "True"), ""
    )


def _workload_of(labels: dict[str, str]) -> str:
    name = labels.get("app.kubernetes.io/name", "")
    return endpoints.canary(name) if labels.get(metadata.TRACK) == "canary" else name


def _pod_state(pods: list[Any], name: str) -> str:
    """What the newest pod of a workload is at, in words."""
    own = [pod for pod in pods if _workload_of(pod.metadata.labels) == name]
    if not own:
        return "no pod yet"
    pod = max(own, key=lambda pod: pod.metadata.creation_timestamp)
    statuses = [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]
    for status in statuses:
        waiting = status.state.waiting
        reason = waiting.reason if waiting else ""
        if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"):
            return f"cannot start, {reason}: {waiting.message}"
        if reason == "CrashLoopBackOff" and status.restart_count >= 4:
            last = status.last_state.terminated
            return (
                f"cannot start, {status.name} exited {last.exit_code if last else '?'}: {last.message if last else ''}"
            )
    phase: str = pod.status.phase
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"not scheduled: {condition.message}"
    return "starting" if phase == "Running" else phase.lower()
