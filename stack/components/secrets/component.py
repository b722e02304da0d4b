"""The stack's Secret: its values come from Pulumi's encrypted configuration and are never written in clear.

`make deploy` generates the missing ones; no person needs to know them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from contracts import secret_keys
from stack.components.shared.object_meta import object_meta

SecretValues = Mapping[str, pulumi.Output[str]]
"""Key of `secret_keys` → value. All of `secret_keys.GENERATED` are present, and all that the settings need."""


@dataclass(frozen=True, kw_only=True)
class SecretsArgs:
    namespace: pulumi.Input[str]
    protect: bool
    """Whether Pulumi refuses to delete the Secret: some of its values exist nowhere else."""
    values: SecretValues


class Secrets(pulumi.ComponentResource):
    """One Secret with all keys of `secret_keys`; pods refer to single keys of it."""

    name: pulumi.Output[str]

    def __init__(self, name: str, args: SecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Secrets", name, None, opts)
        values = args.values
        tokens = pulumi.Output.all(values[secret_keys.OTLP_TOKEN], values.get(secret_keys.OTLP_TOKEN_OTHER))
        secret = k8s.core.v1.Secret(
            secret_keys.SECRET,
            metadata=object_meta(secret_keys.SECRET, args.namespace, component="secrets"),
            string_data={
                **values,
                secret_keys.OTLP_TOKENS: tokens.apply(_lines),
                **_telemetry(values),
            },
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        self.name = secret.metadata.name
        self.register_outputs({"name": self.name})


def _telemetry(values: SecretValues) -> dict[str, pulumi.Output[str]]:
    """Return the tokens of encrypted telemetry, as the proxies read them."""
    if secret_keys.TELEMETRY_TOKEN not in values:
        return {}
    other = values.get(secret_keys.TELEMETRY_TOKEN_OTHER)
    return {secret_keys.TELEMETRY_TOKENS: pulumi.Output.all(values[secret_keys.TELEMETRY_TOKEN], other).apply(_lines)}


def with_authorizations(values: SecretValues) -> SecretValues:
    """Return the secrets and the headers that are made of them."""
    if secret_keys.TELEMETRY_TOKEN not in values:
        return values
    header = values[secret_keys.TELEMETRY_TOKEN].apply(lambda token: f"Bearer {token}")
    return {**values, secret_keys.TELEMETRY_AUTHORIZATION: header}


def _lines(tokens: list[str | None]) -> str:
    return "".join(f"{token}\n" for token in tokens if token)
