"""Replaces pods when a secret in their environment changes.

A program reads its environment once, at its start. Pods that mount a secret as a file need no replacement: Kubernetes
updates the file.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from typing import Any

import pulumi

from contracts import secret_keys
from contracts.metadata import SECRETS_CHECKSUM
from stack.components.secrets.component import SecretValues
from stack.components.shared.workload import WORKLOAD_TYPES


def roll_with_secrets(values: SecretValues) -> pulumi.ResourceTransformation:
    """Return what annotates a workload's pods with a hash of the secrets in their environment.

    The hash does not reveal them.
    """

    def annotate(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if args.type_ in WORKLOAD_TYPES:
            spec: Any = args.props["spec"]
            if keys := sorted(set(_secrets_of(spec.template.spec))):
                metadata = spec.template.metadata
                metadata.annotations = {**metadata.annotations, SECRETS_CHECKSUM: _checksum(keys, values)}
        return None

    return annotate


def _secrets_of(pod: Any) -> Iterator[str]:
    """Yield the keys of the secrets in the environment of a pod's containers."""
    for container in (*pod.containers, *(pod.init_containers or ())):
        for variable in container.env or ():
            if variable.value_from and variable.value_from.secret_key_ref:
                yield variable.value_from.secret_key_ref.key


def _checksum(keys: list[str], values: SecretValues) -> pulumi.Output[str]:
    known = pulumi.Output.all(key=values[secret_keys.HASH_KEY], **{f"of-{key}": values.get(key) for key in keys})
    # It is keyed with the hash key: without that key, no guess of a secret can be tested against it.
    return pulumi.Output.unsecret(known.apply(digest))


def digest(values: Mapping[str, str | None]) -> str:
    """Return the mark of a pod.

    Args:
        values: The hash key as `key`, and each secret in the pod's environment as `of-<its key>`.
    """
    text = "\n".join(f"{key}={value}" for key, value in sorted(values.items()) if key != "key")
    return hmac.new(str(values["key"]).encode(), text.encode(), hashlib.sha256).hexdigest()[:16]
