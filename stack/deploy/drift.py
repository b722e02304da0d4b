"""`make drift STACK=…`: shows where the cluster differs from what the program declares.

Every object is applied as a dry run, with the field manager of both engines, and the API server's answer is compared
with the object in the cluster. Nothing is changed, and no value of a secret is shown.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import kubernetes
from kubernetes.dynamic.exceptions import ApiException
from rich.console import Console
from rich.text import Text

from contracts import secret_keys
from contracts.metadata import Manifest
from stack.components.services.settings import Release
from stack.deploy.render import release_config, render
from stack.errors import DeployError
from stack.kubernetes.client import connect
from stack.kubernetes.difference import Difference, differences
from stack.kubernetes.failures import request_errors
from stack.kubernetes.inventory import INVENTORY_KEY
from stack.kubernetes.keys import ObjectKey, object_key, object_name
from stack.kubernetes.namespace import namespace_exists, require_own_namespace
from stack.kubernetes.objects import Objects, read_secret
from stack.kubernetes.ownership import identity, is_labelled
from stack.kubernetes.refusal import explain_refusal
from stack.kubernetes.volume_growth import Growth
from stack.release.journal import ROLLOUT_OBJECTS, JournalStore
from stack.release.plan import plan_steps
from stack.settings import Settings, load_here


@dataclass(frozen=True, kw_only=True)
class Drift:
    """An object that is not as it is declared."""

    object: str
    problem: str | None = None
    """The difference of the whole object, if it is missing or not declared."""
    refused: list[str] = field(default_factory=list)
    """Why a deployment could not bring it to what is declared, and what to do."""
    fields: list[Difference] = field(default_factory=list)


class LiveObjects(Protocol):
    """The objects of the stack's namespace: `Objects`."""

    def list_all(self) -> tuple[list[Manifest], list[str]]: ...

    def get(self, key: ObjectKey) -> Manifest | None: ...

    def apply(self, manifest: Manifest, *, dry_run: bool) -> Manifest: ...


def compare(manifests: Iterable[Manifest], objects: LiveObjects) -> list[Drift]:
    """Compares a namespace with what is declared.

    Returns:
        What differs: declared objects in the order of their declaration, then objects that are not declared.
    """
    declared = list(manifests)
    known = {identity(key) for key in (*map(object_key, declared), INVENTORY_KEY, *ROLLOUT_OBJECTS)}
    return [drift for manifest in declared if (drift := _compare_object(manifest, objects))] + [
        Drift(object=object_name(item), problem="exists, and is not declared (any more)")
        for item in objects.list_all()[0]
        # Claims and Endpoints are made for declared objects, and have their labels.
        if is_labelled(item)
        and identity(object_key(item)) not in known
        and not item["metadata"].get("ownerReferences")
        and item["kind"] not in ("PersistentVolumeClaim", "Endpoints")
    ]


def _compare_object(manifest: Manifest, objects: LiveObjects) -> Drift | None:
    name = object_name(manifest)
    live = objects.get(object_key(manifest))
    if live is None:
        return Drift(object=name, problem="is missing")
    try:
        applied = objects.apply(manifest, dry_run=True)
    except ApiException as error:
        if error.status != 422:
            raise
        refusal = explain_refusal(objects, manifest, error)
        if isinstance(refusal, Growth):
            sizes = ", ".join(refusal.sizes.values())
            return Drift(object=name, problem=f"its volumes are smaller than declared ({sizes})")
        refused = [line.removeprefix(f"{name}: ") for line in refusal]
        return Drift(object=name, problem="cannot become what is declared", refused=refused)
    fields = differences(live, applied)
    return Drift(object=name, fields=fields) if fields else None


def find_drift(stack: str) -> list[Drift]:
    """Compares a stack with its declaration.

    Raises:
        SettingsError: The stack does not exist, or its settings cannot be used.
        DeployError: The cluster cannot be used, the stack is not deployed, or the namespace is not the stack's.
    """
    settings = load_here(stack)
    client, namespace = connect(settings.cluster), settings.cluster.namespace
    with request_errors(f"The drift of stack {stack} is unknown"):
        require_own_namespace(client, namespace, stack)
        if not namespace_exists(client, namespace):
            raise DeployError(f"stack {stack} is not deployed: namespace {namespace} does not exist")
        secrets = read_secret(client, namespace, secret_keys.SECRET)
        # The values come from the cluster: only the keys are compared.
        values = {key: secrets.get(key, f"${{{key}}}") for key in secret_keys.GENERATED}
        values |= {key: secrets[key] for key in secret_keys.OPTIONAL if key in secrets}
        release = _declared_release(client, settings)
        return compare(render(stack, values, release_config(release)), Objects(client, namespace))


def _declared_release(client: kubernetes.client.ApiClient, settings: Settings) -> Release | None:
    """Return what a rollout declares that is in progress or was rolled back; None without one."""
    journal = JournalStore(client=client, namespace=settings.cluster.namespace).read()
    planned = plan_steps(settings)
    return planned[min(journal.stage, len(planned) - 1)].release(journal.stable) if journal else None


def show(stack: str, drifts: list[Drift], console: Console) -> None:
    """Prints what differs, object by object."""
    for drift in drifts:
        console.print(Text(drift.object, style="bold red"), Text(drift.problem or ""), soft_wrap=True)
        for line in (*drift.refused, *drift.fields):
            console.print(Text(f"  {line}"), soft_wrap=True)
    if not drifts:
        console.print(Text(f"stack {stack} is as it is declared", style="green"))
        return
    refused = [drift.object for drift in drifts if drift.refused]
    remedy = (
        f"`make deploy STACK={stack}` is refused until {', '.join(refused)} can be as declared: see above what to do"
        if refused
        else f"`make deploy STACK={stack}` brings back what is declared; fields that others added stay until they "
        "remove them"
    )
    console.print(f"{len(drifts)} objects of stack {stack} are not as declared. {remedy}", soft_wrap=True)


def run(stack: str, console: Console) -> bool:
    """The command: prints the drift of a stack.

    Returns:
        Whether there is any.

    Raises:
        UserError: As `find_drift`.
    """
    drifts = find_drift(stack)
    show(stack, drifts, console)
    return bool(drifts)
