"""`make drift STACK=…`: what in the cluster is not as the program declares it, whichever engine deployed it.

Every object is applied as a dry run, under the name that both engines apply with; the API server answers what would
become of it. Nothing is changed, and no value of a secret is shown.
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

import urllib3
from kubernetes.dynamic.exceptions import ApiException
from rich.console import Console
from rich.text import Text

from contracts import secret_keys
from contracts.metadata import Manifest
from stack.deploy.render import configuration, render
from stack.kubernetes import dry_run
from stack.kubernetes.apply import INVENTORY_KEY, DeployError, connect, existing_secret, refuse_foreign
from stack.kubernetes.difference import Difference, differences
from stack.kubernetes.objects import Key, Objects, key, name
from stack.kubernetes.ownership import ROLLOUT, identity, labelled
from stack.kubernetes.volume_growth import Growth
from stack.release.journal import Store
from stack.release.plan import steps
from stack.settings import SettingsError, load_here


@dataclass(frozen=True, kw_only=True)
class Drift:
    """An object that is not as it is declared."""

    object: str
    problem: str | None = None
    """What is wrong with it as a whole."""
    refused: list[str] = field(default_factory=list)
    """Why a deployment would not bring it to what is declared, and what to do."""
    fields: list[Difference] = field(default_factory=list)


class Live(Protocol):
    """The stack's namespace in the cluster: `Objects`."""

    def everything(self) -> tuple[list[Manifest], list[str]]: ...

    def present(self, which: Key) -> Manifest | None: ...

    def apply(self, manifest: Manifest, *, dry_run: bool) -> Manifest:
        """What the object would be once the manifest is applied."""
        ...


def drift(manifests: Iterable[Manifest], live: Live) -> list[Drift]:
    """Everything in which a namespace differs from what is declared, in the order of the declaration."""
    declared = list(manifests)
    found = [difference for manifest in declared if (difference := _of(manifest, live))]
    known = {identity(item) for item in (*(key(manifest) for manifest in declared), INVENTORY_KEY, *ROLLOUT)}
    return found + [
        Drift(object=name(item), problem="is there, and is not declared (any more)")
        for item in live.everything()[0]
        # Pods, claims and the like are made from what is declared, and labelled as that is.
        if labelled(item)
        and identity(key(item)) not in known
        and not item["metadata"].get("ownerReferences")
        and item["kind"] not in ("PersistentVolumeClaim", "Endpoints")
    ]


def _of(manifest: Manifest, live: Live) -> Drift | None:
    present = live.present(key(manifest))
    if present is None:
        return Drift(object=name(manifest), problem="is missing")
    try:
        applied = live.apply(manifest, dry_run=True)
    except ApiException as error:
        if error.status != 422:
            raise
        found = dry_run.refused(live, manifest, error)
        if isinstance(found, Growth):
            sizes = ", ".join(found.sizes.values())
            return Drift(object=name(manifest), problem=f"its volumes are smaller than declared ({sizes})")
        refused = [line.removeprefix(f"{name(manifest)}: ") for line in found]
        return Drift(object=name(manifest), problem="cannot become what is declared", refused=refused)
    fields = differences(present, applied)
    return Drift(object=name(manifest), fields=fields) if fields else None


def look(stack: str) -> list[Drift] | None:
    """What differs between a stack and its declaration; None if it is not deployed.

    Raises:
        SettingsError: no such stack, or settings that cannot be used.
        DeployError: the cluster cannot be used, or the namespace is somebody else's.
    """
    settings = load_here(stack)
    client, namespace = connect(settings.cluster), settings.cluster.namespace
    if not refuse_foreign(client, namespace, stack):
        return None
    present = existing_secret(client, namespace, secret_keys.SECRET)
    # The values are the cluster's own business; what is compared is that there are such keys.
    values = {key: present.get(key, f"${{{key}}}") for key in secret_keys.GENERATED}
    values |= {key: present[key] for key in secret_keys.OPTIONAL if key in present}
    journal = Store(client=client, namespace=namespace).read()
    # Half-way through a rollout, or back from one, the cluster is to be as that left it.
    planned = steps(settings)
    release = planned[min(journal.stage, len(planned) - 1)].release(journal.before) if journal else None
    return drift(render(stack, values, configuration(release)), Objects(client, namespace))


def show(stack: str, found: list[Drift], console: Console) -> None:
    """Prints what differs, object by object."""
    for item in found:
        console.print(Text(item.object, style="bold red"), Text(item.problem or ""), soft_wrap=True)
        for line in (*item.refused, *item.fields):
            console.print(Text(f"  {line}"), soft_wrap=True)
    if found:
        refused = [item.object for item in found if item.refused]
        deploys = (
            f"`make deploy STACK={stack}` is refused until {', '.join(refused)} can be as declared: what to do is said "
            "above"
            if refused
            else f"`make deploy STACK={stack}` brings back what is declared; what others added stays, until they take "
            "it away"
        )
        console.print(f"{len(found)} objects of stack {stack} are not as declared. {deploys}", soft_wrap=True)
    else:
        console.print(Text(f"stack {stack} is as it is declared", style="green"))


def main() -> None:
    """Exit code 0: no drift; 1: drift; 2: could not be looked for."""
    parser = argparse.ArgumentParser(
        prog="python -m stack.deploy.drift", description=f"{__doc__} Exit code 1: drift; 2: could not be looked for."
    )
    parser.add_argument("stack", help="for example local or dev")
    stack = parser.parse_args().stack
    try:
        found = look(stack)
    except (SettingsError, DeployError) as error:
        _fail(stack, str(error))
    except ApiException as error:
        _fail(stack, f"the API server refused a request: {error.reason}")
    except (urllib3.exceptions.HTTPError, OSError) as error:
        _fail(stack, f"the cluster stopped answering ({error.__class__.__name__})")
    if found is None:
        _fail(stack, "its namespace is not there: it is not deployed")
    show(stack, found, Console(highlight=False))
    sys.exit(1 if found else 0)


def _fail(stack: str, why: str) -> NoReturn:
    print(f"error: drift of stack {stack} cannot be looked for: {why}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
