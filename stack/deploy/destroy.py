"""`make destroy STACK=…`: removes what a stack made, and nothing else, through the engine that made it.

The namespace goes last, and stays if it holds anything of someone else. Data that the settings protect is removed only
with `--delete-data`.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import kubernetes

from contracts.metadata import Manifest
from stack.deploy import engine
from stack.deploy.pulumi_cli import find_pulumi
from stack.deploy.removal import DestroyError, RemovalPlan, plan_removal, remove
from stack.kubernetes.client import REQUEST_SECONDS, connect
from stack.kubernetes.failures import request_errors
from stack.kubernetes.inventory import INVENTORY_KEY, read_inventory
from stack.kubernetes.keys import ObjectKey, object_key
from stack.kubernetes.namespace import namespace_exists, require_own_namespace
from stack.kubernetes.objects import Objects
from stack.kubernetes.ownership import is_labelled
from stack.release.journal import ROLLOUT_OBJECTS
from stack.settings import Settings, load_here

LIMIT_SECONDS: Final = 300.0


def destroy(
    stack: str,
    confirm: Callable[[RemovalPlan], bool],
    on_progress: Callable[[str], None],
    *,
    delete_data: bool = False,
    limit: float = LIMIT_SECONDS,
) -> None:
    """Removes a stack.

    Args:
        stack: Its name.
        confirm: Decides whether the plan may be carried out.
        on_progress: Takes a line of progress.
        delete_data: Remove protected data too.
        limit: Seconds that the removal may take.

    Raises:
        SettingsError: The stack does not exist, or its settings cannot be used.
        DeployError: The cluster cannot be used, or the Pulumi CLI failed.
        DestroyError: Nothing, or not everything, was removed; the message gives the reason.
    """
    settings = load_here(stack)
    client = connect(settings.cluster)
    with request_errors("Run it again to continue from here"):
        require_own_namespace(client, settings.cluster.namespace, stack)
        if namespace_exists(client, settings.cluster.namespace):
            _destroy(stack, settings, client, confirm, on_progress, delete_data=delete_data, limit=limit)
        else:
            on_progress(f"namespace {settings.cluster.namespace} does not exist: nothing to remove")


def _destroy(
    stack: str,
    settings: Settings,
    client: kubernetes.client.ApiClient,
    confirm: Callable[[RemovalPlan], bool],
    on_progress: Callable[[str], None],
    *,
    delete_data: bool,
    limit: float,
) -> None:
    namespace = settings.cluster.namespace
    objects = Objects(client, namespace)
    inventory = read_inventory(client, namespace)
    is_deployed = bool(inventory) or any(map(is_labelled, objects.list_all()[0]))
    pulumi = _require_pulumi(stack, settings, on_progress) if is_deployed and not inventory else None
    resources = pulumi.resources() if pulumi else []
    owned = inventory | {INVENTORY_KEY} if inventory else {resource_key(item) for item in resources if _is_object(item)}
    plan = plan_removal(stack, namespace, objects, owned | ROLLOUT_OBJECTS, protect=settings.cluster.protect_data)
    for line in plan.describe():
        on_progress(line)
    if plan.protected and not delete_data:
        raise DestroyError(
            f"the data of stack {stack} is protected (cluster.protectData), so nothing was removed. "
            "To remove it all the same, add `--delete-data`"
        )
    volumes = _retained_volumes(client, plan.ownership.claims)
    if is_deployed and not confirm(plan):
        raise DestroyError("nothing was removed")
    deadline = time.monotonic() + limit
    if pulumi:
        destroy_resources(pulumi, resources, plan)
    remove(plan, objects, on_progress, deadline=deadline)
    for volume in volumes:
        on_progress(f"the cluster keeps persistentvolume/{volume} with its data: its reclaim policy is Retain")


def _require_pulumi(stack: str, settings: Settings, on_progress: Callable[[str], None]) -> engine.Engine:
    """The engine of a stack that was not applied server-side.

    Raises:
        DestroyError: There is no Pulumi CLI, or its backend does not know the stack.
    """
    command = find_pulumi(on_progress)
    pulumi = engine.select(command, stack, settings, create=False) if command else None
    if pulumi is None:
        reason = "its backend knows no such stack" if command else "there is no Pulumi CLI here"
        raise DestroyError(
            f"stack {stack} has no inventory in the cluster, so Pulumi deployed it, and {reason}: nothing was removed. "
            "Run this on a machine that has the Pulumi CLI and the stack's state"
        )
    return pulumi


def destroy_resources(pulumi: engine.Engine, resources: list[dict[str, Any]], plan: RemovalPlan) -> None:
    """Removes what Pulumi made; the namespace only if it holds nothing of someone else."""
    targets = [item["urn"] for item in resources if _is_object(item) and resource_key(item).kind != "Namespace"]
    if targets or not plan.keeps_namespace:
        pulumi.destroy(targets if plan.keeps_namespace else None, unprotect=plan.protected)


def _is_object(resource: Mapping[str, Any]) -> bool:
    return "apiVersion" in (resource.get("inputs") or {})


def resource_key(resource: Mapping[str, Any]) -> ObjectKey:
    """The object of a resource in Pulumi's state."""
    return object_key(resource["inputs"])


def _retained_volumes(client: kubernetes.client.ApiClient, claims: Iterable[Manifest]) -> list[str]:
    """Volumes that outlive their claim; none if the user has no right to read volumes."""
    core = kubernetes.client.CoreV1Api(client)
    retained = []
    for name in (claim["spec"].get("volumeName") for claim in claims):
        try:
            volume = core.read_persistent_volume(name, _request_timeout=REQUEST_SECONDS) if name else None
        except kubernetes.client.ApiException:
            continue
        if volume and volume.spec.persistent_volume_reclaim_policy == "Retain":
            retained.append(str(name))
    return sorted(retained)


def ask(plan: RemovalPlan) -> bool:
    """Asks the user to type the stack's name."""
    try:
        return input(f"type the stack's name, {plan.stack}, to remove all this: ").strip() == plan.stack
    except EOFError:
        print()
        return False


def run(stack: str, *, yes: bool = False, delete_data: bool = False, limit: float = LIMIT_SECONDS) -> None:
    """The command: removes a stack, after the user typed its name or with `yes`.

    Raises:
        UserError: As `destroy`.
    """
    started = time.monotonic()
    confirm = (lambda _: True) if yes else ask
    destroy(stack, confirm, lambda line: print(line, flush=True), delete_data=delete_data, limit=limit)
    print(f"done in {time.monotonic() - started:.0f} s")
