"""Deploys a stack with other settings for a while."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from contracts import secret_keys
from stack.deploy.render import record, render
from stack.kubernetes.apply import apply
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret
from stack.settings import PROJECT, Settings, effective_config, load, parse


@contextmanager
def with_settings(
    stack: str, changes: Mapping[str, Mapping[str, Any]], on_progress: Callable[[str], None]
) -> Iterator[Settings]:
    """Deploys a stack with changed sections of its settings, and at the end with its own settings again.

    Raises:
        SettingsError: the changed settings cannot be used.
        DeployError: the cluster cannot be used, or the deployment failed.
    """
    config = effective_config(stack)
    for section, values in changes.items():
        key = f"{PROJECT}:{section}"
        config[key] = {**config.get(key, {}), **values}
    settings = parse(config, f"Pulumi.{stack}.yaml with {dict(changes)}")
    client = connect(settings.cluster)
    values = read_secret(client, settings.cluster.namespace, secret_keys.SECRET)
    known = {f"{PROJECT}:{key}": values[key] for key in secret_keys.ALL if key in values}
    apply(client, settings.cluster.namespace, record(stack, config | known).manifests, on_progress)
    try:
        yield settings
    finally:
        apply(client, load(stack).cluster.namespace, render(stack, values), on_progress)
