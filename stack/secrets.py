"""The stack's secrets: read from Pulumi's encrypted configuration, handed on as a Kubernetes Secret, never in clear.

`make deploy` generates those that are missing; nobody needs to know them.
"""

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from stack import meta

POSTGRES_PASSWORD: Final = "postgresPassword"
GRAFANA_ADMIN_PASSWORD: Final = "grafanaAdminPassword"
HASH_KEY: Final = "hashKey"
OTLP_TOKEN: Final = "otlpToken"
"""Bearer token that the Collectors' receivers ask for."""
OTLP_TOKEN_OTHER: Final = "otlpTokenOther"
"""Accepted beside it, while a token is exchanged: first the new one, then the old one."""
OBJECT_STORAGE_ACCESS_KEY: Final = "objectStorageAccessKey"
OBJECT_STORAGE_SECRET_KEY: Final = "objectStorageSecretKey"
OTLP_TOKENS: Final = "otlpTokens"
"""Key of the Secret under which both stand, a line each: the file that the Collectors read."""

KEYS: Final = (POSTGRES_PASSWORD, GRAFANA_ADMIN_PASSWORD, HASH_KEY, OTLP_TOKEN)
OPTIONAL: Final = (OTLP_TOKEN_OTHER, OBJECT_STORAGE_ACCESS_KEY, OBJECT_STORAGE_SECRET_KEY)
NAME: Final = "stack-secrets"


@dataclass(frozen=True, kw_only=True)
class SecretsArgs:
    namespace: pulumi.Input[str]
    protect: bool
    """Whether it can be deleted only by somebody who says that it may be: nobody else knows what is in it."""


class Secrets(pulumi.ComponentResource):
    """One Secret with a key for each of `KEYS`; pods take single keys from it by reference."""

    name: pulumi.Output[str]

    def __init__(self, name: str, args: SecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Secrets", name, None, opts)
        config = pulumi.Config()
        secret = k8s.core.v1.Secret(
            NAME,
            metadata=meta.metadata(NAME, args.namespace, component="secrets"),
            string_data={
                **{key: config.require_secret(key) for key in KEYS},
                **{key: value for key in OPTIONAL if (value := config.get_secret(key)) is not None},
                OTLP_TOKENS: pulumi.Output.all(
                    config.require_secret(OTLP_TOKEN), config.get_secret(OTLP_TOKEN_OTHER)
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
                name=secret, key=key, optional=True if key in OPTIONAL else None
            ),
        ),
    )
