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

KEYS: Final = (POSTGRES_PASSWORD, GRAFANA_ADMIN_PASSWORD, HASH_KEY)
NAME: Final = "stack-secrets"


@dataclass(frozen=True, kw_only=True)
class SecretsArgs:
    namespace: pulumi.Input[str]


class Secrets(pulumi.ComponentResource):
    """One Secret with a key for each of `KEYS`; pods take single keys from it by reference."""

    name: pulumi.Output[str]

    def __init__(self, name: str, args: SecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Secrets", name, None, opts)
        config = pulumi.Config()
        secret = k8s.core.v1.Secret(
            NAME,
            metadata=meta.metadata(NAME, args.namespace, component="secrets"),
            string_data={key: config.require_secret(key) for key in KEYS},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.name = secret.metadata.name
        self.register_outputs({"name": self.name})


def reference(variable: str, key: str, secret: pulumi.Input[str]) -> k8s.core.v1.EnvVarArgs:
    """Environment variable that holds one secret, by reference."""
    return k8s.core.v1.EnvVarArgs(
        name=variable,
        value_from=k8s.core.v1.EnvVarSourceArgs(
            secret_key_ref=k8s.core.v1.SecretKeySelectorArgs(name=secret, key=key),
        ),
    )
