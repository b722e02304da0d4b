"""The checks before a deployment. They change nothing."""

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import kubernetes
from pulumi import automation as auto

from contracts import secret_keys
from contracts.metadata import Manifest
from stack.components.services.settings import Release
from stack.deploy import engine, policy
from stack.deploy.cluster_checks import check_cluster
from stack.deploy.cluster_requirements import require_classes
from stack.deploy.issuer import require_issuer
from stack.deploy.pulumi_cli import find_pulumi
from stack.deploy.render import release_config, render
from stack.errors import DeployError
from stack.kubernetes.client import connect
from stack.kubernetes.namespace import namespace_exists, require_own_namespace
from stack.kubernetes.objects import read_secret
from stack.kubernetes.volume_growth import Growth
from stack.settings import PROJECT, Settings, effective_config, load_here
from stack.settings.missing_secrets import commands, needed_secrets


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """A deployment that passed all checks, and what they found out."""

    settings: Settings
    client: kubernetes.client.ApiClient
    pulumi: auto.PulumiCommand | None
    """The Pulumi CLI; without it the program is rendered and applied server-side."""
    secrets: Mapping[str, str]
    manifests: list[Manifest]
    has_namespace: bool
    growths: Sequence[Growth]
    """Volumes to enlarge first."""


def run_preflight(
    stack: str,
    on_progress: Callable[[str], None],
    release: Release | None = None,
    forget: Collection[str] = (),
    *,
    leave_queues: bool = False,
) -> Preflight:
    """Checks everything that a deployment needs.

    Args:
        stack: Its name.
        on_progress: Takes a line of progress.
        release: The version that a rollout runs next to the settings' version.
        forget: Optional secrets to remove.
        leave_queues: Accept Collectors that are removed with items in their queues.

    Raises:
        SettingsError: The stack does not exist, or its settings cannot be used.
        PolicyError: It declares what no stack may have.
        DeployError: The cluster cannot be used, or would refuse what is declared.
    """
    settings = load_here(stack)
    namespace = settings.cluster.namespace
    with ThreadPoolExecutor(1) as threads:
        search = threads.submit(find_pulumi, on_progress)
        client = connect(settings.cluster)
        require_own_namespace(client, namespace, stack)
        has_namespace = namespace_exists(client, namespace)
        require_classes(client, settings.cluster)
        require_issuer(client, settings)
        values = secret_values(settings, read_secret(client, namespace, secret_keys.SECRET), forget)
    pulumi = search.result()
    configured = {key.removeprefix(f"{PROJECT}:") for key in (effective_config(stack) if pulumi else {})}
    require_secrets(stack, settings, {*values, *configured} - {*forget})
    manifests = render(stack, values, release_config(release))
    policy.require_compliance(manifests)
    growths = check_cluster(client, namespace, manifests, on_warning=on_progress, leave_queues=leave_queues)
    if pulumi is not None and not has_namespace:
        _require_same_namespace(stack, settings, pulumi)
    return Preflight(
        settings=settings,
        client=client,
        pulumi=pulumi,
        secrets=values,
        manifests=manifests,
        has_namespace=has_namespace,
        growths=growths,
    )


def secret_values(settings: Settings, existing: Mapping[str, str], forget: Collection[str]) -> dict[str, str]:
    """The stack's secrets: from the environment, else as the cluster has them; random ones are made if missing."""
    values = {}
    for key in secret_keys.ALL:
        value = secret_keys.from_environment(key) or existing.get(key)
        if key in secret_keys.RANDOM and key in needed_secrets(settings):
            value = value or secrets.token_urlsafe(24)
        if key not in forget and value is not None:
            values[key] = value
    return values


def require_secrets(stack: str, settings: Settings, available: Collection[str]) -> None:
    """Raises an error if a secret is missing that the settings need.

    Raises:
        DeployError: Names the missing secrets, and how to set them.
    """
    if missing := [key for key in settings.needed_secrets if key not in available]:
        variables = " ".join(f"{secret_keys.variable(key)}=…" for key in missing)
        lines = [
            f"the settings need secrets that are missing: {', '.join(missing)}. Nothing was changed. Set them "
            f"once, without Pulumi, with `{variables} make deploy STACK={stack}`; or with Pulumi:",
            *commands(stack, missing),
        ]
        raise DeployError("\n  ".join(lines))


def _require_same_namespace(stack: str, settings: Settings, command: auto.PulumiCommand) -> None:
    """Raises an error if Pulumi deployed the stack into another namespace: it would delete that one, with its data.

    Raises:
        DeployError: Names the other namespace.
    """
    pulumi = engine.select(command, stack, settings, create=False)
    declared = settings.cluster.namespace
    inputs = [item.get("inputs") or {} for item in (pulumi.resources() if pulumi else [])]
    for name in (item["metadata"]["name"] for item in inputs if item.get("kind") == "Namespace"):
        if name != declared:
            raise DeployError(
                f"cluster.namespace: stack {stack} is in namespace {name}. To make {declared}, Pulumi would delete "
                f"{name} with its data. Nothing was changed. Set it back to {name}; or make a second stack for "
                f"{declared}, move the data, and `make destroy` this one"
            )
