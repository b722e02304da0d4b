"""`make destroy STACK=…`: removes everything that a stack made, through the engine that made it, and nothing else.

The namespace goes last, and only if nobody else has anything in it. Data that the settings protect is removed only for
whoever says so.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import kubernetes
import urllib3
from kubernetes.dynamic.exceptions import ApiException

from contracts.metadata import Manifest
from stack.deploy import engine
from stack.deploy.removal import DestroyError, Plan, Say, plan, remove
from stack.kubernetes.apply import INVENTORY_KEY, DeployError, connect, inventory, refuse_foreign
from stack.kubernetes.objects import Key, Objects, key
from stack.kubernetes.ownership import ROLLOUT, labelled
from stack.settings import SettingsError, load_here

LIMIT_SECONDS: Final = 300
_ANSWER_SECONDS: Final = 30


def destroy(stack: str, agree: Callable[[Plan], bool], say: Say, *, delete_data: bool, limit: float) -> None:
    """Removes a stack.

    Args:
        stack: its name.
        agree: is shown what will be removed, and says whether it may be.
        say: takes a line of progress.
        delete_data: data that is protected may go as well.
        limit: seconds that it may take.

    Raises:
        SettingsError: there is no such stack, or its settings cannot be used.
        DeployError: the cluster cannot be used, or the Pulumi CLI failed.
        DestroyError: nothing was removed, or not all; the message says why.
    """
    settings = load_here(stack)
    namespace = settings.cluster.namespace
    client = connect(settings.cluster)
    if not refuse_foreign(client, namespace, stack):
        say(f"there is no namespace {namespace}: nothing to remove")
        return
    place = Objects(client, namespace)
    applied = inventory(client, namespace)
    left = applied or any(labelled(item) for item in place.everything()[0])
    pulumi = _pulumi(stack, say) if left and not applied else None
    resources = pulumi.resources() if pulumi else []
    owned = applied | {INVENTORY_KEY} if applied else {key_of(item) for item in resources if _is_object(item)}
    what = plan(stack, namespace, place, owned | ROLLOUT, protect=settings.cluster.protect_data)
    for line in what.describe():
        say(line)
    if what.protected and not delete_data:
        raise DestroyError(
            f"the data of stack {stack} is protected (cluster.protectData), so nothing was removed. "
            "Whoever means it says `--delete-data`"
        )
    kept = _kept_volumes(client, what.contents.claims)
    if left and not agree(what):
        raise DestroyError("nothing was removed")
    deadline = time.monotonic() + limit
    if pulumi:
        through_pulumi(pulumi, resources, what)
    remove(what, place, say, deadline=deadline)
    for volume in kept:
        say(f"the cluster keeps persistentvolume/{volume} with its data: its reclaim policy is Retain")


def _pulumi(stack: str, say: Say) -> engine.Engine:
    """The engine of what was not applied server-side.

    Raises:
        DestroyError: there is no CLI here to ask, or its backend does not know the stack.
    """
    command = engine.find(say)
    found = engine.prepare(command, stack, load_here(stack), create=False) if command else None
    if found is None:
        why = "its backend knows no such stack" if command else "there is no Pulumi CLI here"
        raise DestroyError(
            f"stack {stack} has no inventory in the cluster, so Pulumi deployed it, and {why}: nothing was removed. "
            "Run this where its CLI and its state are"
        )
    return found


def through_pulumi(pulumi: engine.Engine, resources: list[dict[str, Any]], what: Plan) -> None:
    """Removes what Pulumi made; the namespace only if nothing of others is in it."""
    targets = [item["urn"] for item in resources if _is_object(item) and key_of(item)[1] != "Namespace"]
    if targets or not what.keeps_namespace:
        pulumi.destroy(targets if what.keeps_namespace else None, unprotect=what.protected)


def _is_object(resource: Mapping[str, Any]) -> bool:
    return "apiVersion" in (resource.get("inputs") or {})


def key_of(resource: Mapping[str, Any]) -> Key:
    """Which object a resource of Pulumi's state is."""
    return key(resource["inputs"])


def _kept_volumes(client: kubernetes.client.ApiClient, claims: Iterable[Manifest]) -> list[str]:
    """Volumes that outlive their claim. Whoever may not look at volumes is told of none."""
    core = kubernetes.client.CoreV1Api(client)
    kept = []
    for volume in (claim["spec"].get("volumeName") for claim in claims):
        try:
            found = core.read_persistent_volume(volume, _request_timeout=_ANSWER_SECONDS) if volume else None
        except kubernetes.client.ApiException:
            continue
        if found and found.spec.persistent_volume_reclaim_policy == "Retain":
            kept.append(str(volume))
    return sorted(kept)


def _ask(what: Plan) -> bool:
    try:
        return input(f"type the stack's name, {what.stack}, to remove all this: ").strip() == what.stack
    except EOFError:
        print()
        return False


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stack.deploy.destroy", description=__doc__)
    parser.add_argument("stack", help="for example local or dev")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--delete-data", action="store_true", help="also if the stack's settings protect its data")
    parser.add_argument(
        "--limit", type=float, default=LIMIT_SECONDS, metavar="SECONDS", help=f"({LIMIT_SECONDS})", dest="limit"
    )
    asked = parser.parse_args()
    started = time.monotonic()
    try:
        destroy(
            asked.stack,
            (lambda _: True) if asked.yes else _ask,
            lambda line: print(line, flush=True),
            delete_data=asked.delete_data,
            limit=asked.limit,
        )
    except (SettingsError, DeployError, DestroyError) as error:
        sys.exit(f"error: {error}")
    except ApiException as error:
        sys.exit(f"error: the API server refused a request: {error.reason}. Run it again to go on from here")
    except (urllib3.exceptions.HTTPError, OSError) as error:
        sys.exit(f"error: the cluster stopped answering ({error.__class__.__name__}). Run it again to go on from here")
    print(f"done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
