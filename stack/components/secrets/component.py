"""The stack's secrets: read from Pulumi's encrypted configuration, handed on as a Kubernetes Secret, never in clear.

`make deploy` generates those that are missing; nobody needs to know them.
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
    """Whether it can be deleted only by somebody who says that it may be: nobody else knows what is in it."""
    needed: Collection[str] = ()
    """Those of `secret_keys.OPTIONAL` that the settings need: without one the program ends, and says how it is set."""


class Secrets(pulumi.ComponentResource):
    """One Secret with a key for each of `secret_keys.GENERATED`; pods take single keys from it by reference."""

    name: pulumi.Output[str]

    def __init__(self, name: str, args: SecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Secrets", name, None, opts)
        config = pulumi.Config()
        secret = k8s.core.v1.Secret(
            secret_keys.SECRET,
            metadata=object_meta(secret_keys.SECRET, args.namespace, component="secrets"),
            string_data={
                **{key: config.require_secret(key) for key in (*secret_keys.GENERATED, *args.needed)},
                **{key: value for key in secret_keys.OPTIONAL if (value := config.get_secret(key)) is not None},
                secret_keys.OTLP_TOKENS: pulumi.Output.all(
                    config.require_secret(secret_keys.OTLP_TOKEN), config.get_secret(secret_keys.OTLP_TOKEN_OTHER)
                ).apply(lambda tokens: "".join(f"{token}\n" for token in tokens if token)),
            },
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        self.name = secret.metadata.name
        self.register_outputs({"name": self.name})


def reference(variable: str, key: str, secret: pulumi.Input[str]) -> k8s.core.v1.EnvVarArgs:
    """Environment variable that holds one secret, by reference; unset where an optional one is not there."""
    return k8s.core.v1.EnvVarArgs(
        name=variable,
        value_from=k8s.core.v1.EnvVarSourceArgs(
            secret_key_ref=k8s.core.v1.SecretKeySelectorArgs(
                name=secret, key=key, optional=True if key in secret_keys.OPTIONAL else None
            ),
        ),
    )
