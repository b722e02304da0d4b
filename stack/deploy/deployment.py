"""Deploys a stack: through Pulumi where its CLI can be had, else by server-side apply of the rendered program."""

import argparse
import secrets
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import kubernetes
from pulumi import automation as auto

from contracts import secret_keys
from contracts.metadata import Manifest
from stack.components.services.settings import Release
from stack.deploy import engine, policy, queues
from stack.deploy.preflight import missing_metrics, refuse_unknown_classes
from stack.deploy.render import configuration, render
from stack.kubernetes import dry_run, volume_growth
from stack.kubernetes.apply import DeployError, apply, connect, existing_secret, hand_over, refuse_foreign, was_applied
from stack.kubernetes.autoscaling import autoscalers
from stack.kubernetes.objects import Objects, key
from stack.kubernetes.ownership import labelled
from stack.kubernetes.volume_growth import Growth
from stack.release.journal import Store
from stack.release.plan import wanted
from stack.settings import PROJECT, Settings, SettingsError, effective_config, load_here


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A deployment that nothing is known to stand against."""

    settings: Settings
    client: kubernetes.client.ApiClient
    command: auto.PulumiCommand | None
    """The Pulumi CLI; without it the program is rendered and applied server-side."""
    secrets: Mapping[str, str]
    manifests: list[Manifest]
    there: bool
    """Whether the namespace is there."""
    enlarged: Sequence[Growth]
    """Volumes to be enlarged first."""


def prepare(
    stack: str, release: Release | None = None, forget: Collection[str] = (), *, leave_queues: bool = False
) -> Prepared:
    """Looks at all that a deployment needs, and changes nothing.

    Raises:
        SettingsError, PolicyError, DeployError: as `deploy`.
    """
    settings = load_here(stack)
    namespace = settings.cluster.namespace
    client = connect(settings.cluster)
    there = refuse_foreign(client, namespace, stack)
    refuse_unknown_classes(client, settings.cluster)
    # The cluster is where the secrets live: they stay unless another value is given, and missing ones are made up.
    present = existing_secret(client, namespace, secret_keys.SECRET)
    values = {
        key: secret_keys.from_environment(key) or present.get(key) or secrets.token_urlsafe(24)
        for key in secret_keys.GENERATED
    }
    optional = [key for key in secret_keys.OPTIONAL if key not in forget]
    values |= {
        key: value for key in optional if (value := secret_keys.from_environment(key) or present.get(key)) is not None
    }
    command = engine.find(_say)
    configured = {key.removeprefix(f"{PROJECT}:") for key in (effective_config(stack) if command else {})}
    require_secrets(stack, settings, {*values, *configured} - {*forget})
    manifests = render(stack, values, configuration(release))
    policy.refuse(manifests)
    left = queues.look(client, namespace, manifests, leave=leave_queues) if there else []
    for line in (*missing_metrics(client, manifests), *left):
        _say(line)
    if command is not None and not there:
        _refuse_move(stack, settings, command)
    return Prepared(
        settings=settings,
        client=client,
        command=command,
        secrets=values,
        manifests=manifests,
        there=there,
        enlarged=dry_run.require(client, namespace, manifests),
    )


def _refuse_move(stack: str, settings: Settings, command: auto.PulumiCommand) -> None:
    """Nothing, unless Pulumi would remove another namespace, with the data in it, to make this one.

    Raises:
        DeployError: names that namespace.
    """
    made = engine.prepare(command, stack, settings, create=False)
    kinds = [item.get("inputs") or {} for item in (made.resources() if made else [])]
    for name in (item["metadata"]["name"] for item in kinds if item.get("kind") == "Namespace"):
        if name != settings.cluster.namespace:
            wanted_name = settings.cluster.namespace
            raise DeployError(
                f"cluster.namespace: stack {stack} is in namespace {name}. To make {wanted_name}, Pulumi would remove "
                f"that one with its data. Nothing was changed. Set it back to {name}; or make a second stack for "
                f"{wanted_name}, move the data, and `make destroy` this one"
            )


def _make_way(client: kubernetes.client.ApiClient, namespace: str, found: Prepared) -> bool:
    """Changes what Pulumi would not, or would by deleting what is there; whether anything was changed.

    Raises:
        DeployError: it failed; the message says what to do.
    """
    volume_growth.finish(client, namespace)
    for item in found.enlarged:
        volume_growth.carry_out(client, namespace, item, _say)
    objects = Objects(client, namespace)
    declared = {key(item) for item in found.manifests}
    scaled = {(item["kind"], item["metadata"]["name"]) for item in found.manifests}
    changed = bool(found.enlarged)
    for target, autoscaler in autoscalers(client, namespace, ()).items():
        which = ("autoscaling/v2", "HorizontalPodAutoscaler", autoscaler.name)
        if which in declared or target not in scaled:
            continue
        if labelled(objects.present(which) or {"metadata": {}}):
            # It would change the number of pods that is declared from now on; Pulumi deletes last.
            objects.delete(which, foreground=False)
            changed = True
        else:
            _say(
                f"horizontalpodautoscaler/{autoscaler.name}, not of this stack, scales {target[1]}: whenever Pulumi "
                "changes that, it sets the declared number of pods again"
            )
    return changed


def deploy(
    stack: str, release: Release | None = None, forget: Collection[str] = (), *, leave_queues: bool = False
) -> str:
    """Deploys a stack and waits until it is ready.

    Args:
        stack: its name.
        release: what runs beside what the settings say, while that is rolled out.
        forget: optional secrets that are taken out.
        leave_queues: Collectors whose queues are not empty may be taken away.

    Returns:
        What did it, in words.

    Raises:
        SettingsError: the stack does not exist or its settings cannot be used; nothing was changed.
        PolicyError: it declares what no stack may have; nothing was changed.
        DeployError: the cluster cannot be used, or the deployment failed.
    """
    found = prepare(stack, release, forget, leave_queues=leave_queues)
    client, settings, manifests = found.client, found.settings, found.manifests
    namespace = settings.cluster.namespace
    if found.command is not None:
        take_over = was_applied(client, namespace)
        if take_over:
            _say("what was applied server-side before is taken over by Pulumi")
        # Pulumi knows by its configuration which optional secrets there are; one that was taken out stays out.
        given = {
            key: value
            for key, value in found.secrets.items()
            if key in secret_keys.GENERATED or secret_keys.from_environment(key)
        }
        told = found.secrets if take_over else given
        changed = _make_way(client, namespace, found)
        engine.up(
            found.command,
            stack,
            settings,
            told,
            configuration(release),
            forget=forget,
            take_over=take_over,
            refresh=take_over or changed or not found.there,
        )
        if take_over:
            hand_over(client, namespace, manifests, _say)
        return f"Pulumi {found.command.version}"
    _say("the rendered program is applied server-side instead: same objects, same waits, pruned")
    apply(client, namespace, manifests, _say)
    return "server-side apply of the rendered program"


def refuse_half_way(stack: str) -> None:
    """Nothing, unless a version is half-way through its rollout, or has just failed it.

    Raises:
        DeployError: a deployment would bring it to all traffic, past the gates.
    """
    settings = load_here(stack)
    client, namespace = connect(settings.cluster), settings.cluster.namespace
    refuse_foreign(client, namespace, stack)
    journal = Store(client=client, namespace=namespace).read()
    if journal is None or (not journal.under_way and journal.after != wanted(settings)):
        return
    what = (
        f"is at stage {journal.stage} of its rollout" if journal.under_way else f"failed its rollout: {journal.reason}"
    )
    raise DeployError(
        f"{journal.after.image} {what}. Nothing was changed. `make rollout STACK={stack}` goes on with it; "
        f"`make rollout STACK={stack} ARGS=--abort` goes back to {journal.before.image} and forgets the rollout"
    )


def require_secrets(stack: str, settings: Settings, there: Collection[str]) -> None:
    """Nothing if `there` has every secret that the receivers of alerts need.

    Raises:
        DeployError: names those that are missing, and how they are set.
    """
    if missing := [key for key in settings.alerting.needed_secrets if key not in there]:
        variables = " ".join(f"{secret_keys.variable(key)}=…" for key in missing)
        raise DeployError(
            f"alerting names receivers whose secrets are missing: {', '.join(missing)}. Nothing was changed. Set each "
            f"with `pulumi config set -s {stack} --secret KEY`, or once, where there is no Pulumi, with "
            f"`{variables} make deploy STACK={stack}`"
        )


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stack.deploy.deployment",
        description=f"{__doc__} A secret gets the value of its variable, for example SECRET_POSTGRES_PASSWORD, if set.",
    )
    parser.add_argument("stack", help="for example local or dev")
    parser.add_argument(
        "--forget",
        action="append",
        default=[],
        choices=secret_keys.OPTIONAL,
        metavar="SECRET",
        help="take this secret out: one of " + ", ".join(secret_keys.OPTIONAL),
    )
    parser.add_argument(
        "--leave-queues",
        action="store_true",
        help="take Collectors away although something waits in their queues: it stays on their volumes",
    )
    asked = parser.parse_args()
    stack = asked.stack
    started = time.monotonic()
    print(f"deploying stack {stack}", flush=True)
    try:
        refuse_half_way(stack)
        how = deploy(stack, forget=asked.forget, leave_queues=asked.leave_queues)
    except (SettingsError, DeployError, policy.PolicyError) as error:
        sys.exit(f"error: {error}")
    print(f"deployed stack {stack} in {time.monotonic() - started:.0f} s through {how}")


if __name__ == "__main__":
    main()
