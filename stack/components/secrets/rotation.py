"""Pods follow their secrets: those that hold one in their environment are replaced when its value changes.

A variable is read once, at the start. Files follow their Secret by themselves, as the Collectors' tokens do.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from typing import Any

import pulumi

from contracts import secret_keys
from contracts.metadata import SECRETS_CHECKSUM
from stack.components.cluster.pod_defaults import WORKLOADS


def roll_with_secrets(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    """Transformation that marks a workload's pods with what their secrets are, without telling it."""
    if args.type_ in WORKLOADS:
        spec: Any = args.props["spec"]
        if keys := sorted(set(_secrets_of(spec.template.spec))):
            metadata = spec.template.metadata
            metadata.annotations = {**metadata.annotations, SECRETS_CHECKSUM: _checksum(keys)}
    return None


def _secrets_of(pod: Any) -> Iterator[str]:
    """Keys of the secrets in the environment of a pod's containers."""
    for container in (*pod.containers, *(pod.init_containers or ())):
        for variable in container.env or ():
            if variable.value_from and variable.value_from.secret_key_ref:
                yield variable.value_from.secret_key_ref.key


def _checksum(keys: list[str]) -> pulumi.Output[str]:
    config = pulumi.Config()
    values = pulumi.Output.all(
        key=config.require_secret(secret_keys.HASH_KEY), **{f"of-{key}": config.get_secret(key) for key in keys}
    )
    # Who sees it and guesses a secret cannot try the guess on it: that would take the hash key as well.
    return pulumi.Output.unsecret(values.apply(_digest))


def _digest(values: Mapping[str, str | None]) -> str:
    text = "\n".join(f"{key}={value}" for key, value in sorted(values.items()) if key != "key")
    return hmac.new(str(values["key"]).encode(), text.encode(), hashlib.sha256).hexdigest()[:16]
