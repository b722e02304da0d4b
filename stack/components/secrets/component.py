"""The stack's Secret: its values come from Pulumi's encrypted configuration and are never written in clear.

`make deploy` generates the missing ones; no person needs to know them.
"""

from collections.abc import Collection
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from contracts import secret_keys
from stack.components.shared.object_meta import object_meta


@dataclass(frozen=True, kw_only=True)
class SecretsArgs:
    namespace: pulumi.Input[str]
    protect: bool
    """Whether Pulumi refuses to delete the Secret: some of its values exist nowhere else."""
    needed: Collection[str] = ()
    """Keys of `secret_keys.OPTIONAL` that the settings need. If one is missing, the program ends and its message
    explains how to set it."""


class Secrets(pulumi.ComponentResource):
    """One Secret with all keys of `secret_keys`; pods refer to single keys of it."""

    name: pulumi.Output[str]

    def __init__(self, name: str, args: SecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Secrets", name, None, opts)
        config = pulumi.Config()
        tokens = pulumi.Output.all(
            config.require_secret(secret_keys.OTLP_TOKEN), config.get_secret(secret_keys.OTLP_TOKEN_OTHER)
        )
        secret = k8s.core.v1.Secret(
            secret_keys.SECRET,
            metadata=object_meta(secret_keys.SECRET, args.namespace, component="secrets"),
            string_data={
                **{key: config.require_secret(key) for key in (*secret_keys.GENERATED, *args.needed)},
                **{key: value for key in secret_keys.OPTIONAL if (value := config.get_secret(key)) is not None},
                secret_keys.OTLP_TOKENS: tokens.apply(_lines),
            },
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        self.name = secret.metadata.name
        self.register_outputs({"name": self.name})


def _lines(tokens: list[str | None]) -> str:
    return "".join(f"{token}\n" for token in tokens if token)
