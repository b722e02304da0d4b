"""Deploys a stack: with Pulumi if its CLI is available, otherwise by server-side apply of the rendered program."""

import time
from collections.abc import Callable, Collection
from typing import Final

from contracts import secret_keys
from stack.components.services.settings import Release
from stack.deploy import engine
from stack.deploy.preflight import Preflight, run_preflight
from stack.deploy.render import release_config
from stack.errors import DeployError
from stack.kubernetes import volume_resize
from stack.kubernetes.apply import apply
from stack.kubernetes.autoscaling import ScaleTarget, autoscalers
from stack.kubernetes.client import connect
from stack.kubernetes.inventory import hand_over_to_pulumi, read_inventory
from stack.kubernetes.keys import ObjectKey, object_key
from stack.kubernetes.namespace import require_own_namespace
from stack.kubernetes.objects import Objects
from stack.kubernetes.ownership import is_labelled
from stack.release.journal import JournalStore
from stack.release.plan import desired_version
from stack.settings import load_here

_WITHOUT_PULUMI: Final = "server-side apply of the rendered program"


def _print(line: str) -> None:
    print(f"  {line}", flush=True)


def deploy(
    stack: str,
    release: Release | None = None,
    forget: Collection[str] = (),
    *,
    leave_queues: bool = False,
    on_progress: Callable[[str], None] = _print,
) -> str:
    """Deploys a stack and waits until it is ready.

    Args:
        stack: Its name.
        release: The version that a rollout runs next to the settings' version.
        forget: Optional secrets to remove.
        leave_queues: Accept Collectors that are removed with items in their queues.
        on_progress: Takes a line of progress.

    Returns:
        The name of the engine that deployed it.

    Raises:
        SettingsError: The stack does not exist, or its settings cannot be used; nothing was changed.
        PolicyError: It declares what no stack may have; nothing was changed.
        DeployError: The cluster cannot be used, or the deployment failed.
    """
    preflight = run_preflight(stack, on_progress, release, forget, leave_queues=leave_queues)
    if preflight.pulumi is not None:
        _deploy_with_pulumi(stack, preflight, release, forget, on_progress)
        return f"Pulumi {preflight.pulumi.version}"
    on_progress("the rendered program is applied server-side instead: same objects, same waits, pruned")
    namespace = preflight.settings.cluster.namespace
    apply(preflight.client, namespace, preflight.manifests, on_progress, growths=preflight.growths)
    return _WITHOUT_PULUMI


def _deploy_with_pulumi(
    stack: str,
    preflight: Preflight,
    release: Release | None,
    forget: Collection[str],
    on_progress: Callable[[str], None],
) -> None:
    client, settings = preflight.client, preflight.settings
    namespace = settings.cluster.namespace
    assert preflight.pulumi
    take_over = bool(read_inventory(client, namespace))
    if take_over:
        on_progress("Pulumi takes over what was applied server-side before")
    # Pulumi's configuration has the optional secrets; a secret that the user removed there must not come back.
    is_new = {key for key in preflight.secrets if key in secret_keys.RANDOM or secret_keys.from_environment(key)}
    secrets = {key: value for key, value in preflight.secrets.items() if take_over or key in is_new}
    was_changed = _change_before_pulumi(preflight, on_progress)
    engine.up(
        preflight.pulumi,
        stack,
        settings,
        secrets,
        release_config(release),
        forget=forget,
        take_over=take_over,
        refresh=take_over or was_changed or not preflight.has_namespace,
    )
    if take_over:
        hand_over_to_pulumi(client, namespace, preflight.manifests, on_progress)


def _change_before_pulumi(preflight: Preflight, on_progress: Callable[[str], None]) -> bool:
    """Changes what Pulumi cannot change, or would change by deleting objects first.

    Returns:
        Whether anything was changed.

    Raises:
        DeployError: It failed; the message says what to do.
    """
    client, namespace = preflight.client, preflight.settings.cluster.namespace
    volume_resize.restore_field_owners(client, namespace)
    for growth in preflight.growths:
        volume_resize.enlarge_volumes(client, namespace, growth, on_progress)
    objects = Objects(client, namespace)
    declared = {object_key(item) for item in preflight.manifests}
    workloads = {ScaleTarget(item["kind"], item["metadata"]["name"]) for item in preflight.manifests}
    was_changed = bool(preflight.growths)
    for target, autoscaler in autoscalers(client, namespace, ()).items():
        key = ObjectKey("autoscaling/v2", "HorizontalPodAutoscaler", autoscaler.name)
        if key in declared or target not in workloads:
            continue
        if is_labelled(objects.get(key) or {"metadata": {}}):
            # Pulumi deletes last, so the autoscaler would change the declared number of pods until then.
            objects.delete(key, foreground=False)
            was_changed = True
        else:
            on_progress(
                f"horizontalpodautoscaler/{autoscaler.name}, not of this stack, scales {target.name}: whenever Pulumi "
                "changes that, it sets the declared number of pods again"
            )
    return was_changed


def require_no_rollout(stack: str) -> None:
    """Raises an error if a rollout is under way, or if the version in the settings has just failed one.

    Raises:
        DeployError: A deployment would give that version all traffic, past the gates.
    """
    settings = load_here(stack)
    client, namespace = connect(settings.cluster), settings.cluster.namespace
    require_own_namespace(client, namespace, stack)
    journal = JournalStore(client=client, namespace=namespace).read()
    if journal is None or (not journal.is_under_way and journal.canary != desired_version(settings)):
        return
    state = (
        f"is at stage {journal.stage} of its rollout"
        if journal.is_under_way
        else f"failed its rollout: {journal.reason}"
    )
    raise DeployError(
        f"{journal.canary.image} {state}. Nothing was changed. `make rollout STACK={stack}` continues it; "
        f"`./wct rollout {stack} --abort` goes back to {journal.stable.image} and forgets the rollout"
    )


def run(stack: str, *, forget: Collection[str] = (), leave_queues: bool = False) -> None:
    """The command: deploys a stack unless a rollout is under way.

    Raises:
        UserError: As `deploy` and `require_no_rollout`.
    """
    started = time.monotonic()
    print(f"deploying stack {stack}", flush=True)
    require_no_rollout(stack)
    engine_name = deploy(stack, forget=forget, leave_queues=leave_queues)
    print(f"deployed stack {stack} in {time.monotonic() - started:.0f} s through {engine_name}")
