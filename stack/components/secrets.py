"""The stack's secrets: read from Pulumi's encrypted configuration, handed on as a Kubernetes Secret, never in clear.

`make deploy` generates those that are missing; nobody needs to know them.
"""

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from stack.components.object_meta import object_meta

POSTGRES_PASSWORD: Final = "postgresPassword"
GRAFANA_ADMIN_PASSWORD: Final = "grafanaAdminPassword"
HASH_KEY: Final = "hashKey"
OTLP_TOKEN: Final = "otlpToken"
"""Bearer token that the Collectors' receivers ask for."""
OTLP_TOKEN_OTHER: Final = "otlpTokenOther"
"""Accepted beside it, while a token is exchanged: first the new one, then the old one."""
OBJECT_STORAGE_ACCESS_KEY: Final = "objectStorageAccessKey"
OBJECT_STORAGE_SECRET_KEY: Final = "objectStorageSecretKey"
ALERT_WEBHOOK_URL: Final = {"page": "alertPageWebhookUrl", "ticket": "alertTicketWebhookUrl"}
ALERT_SLACK_URL: Final = {"page": "alertPageSlackUrl", "ticket": "alertTicketSlackUrl"}
"""URL of an incoming webhook, for each severity: it belongs to one channel."""
ALERT_PAGERDUTY_KEY: Final = {"page": "alertPagePagerdutyKey", "ticket": "alertTicketPagerdutyKey"}
"""Integration key of a service (Events API v2)."""
ALERT_HEARTBEAT_URL: Final = "alertHeartbeatUrl"
ALERT_SMTP_PASSWORD: Final = "alertSmtpPassword"
OTLP_TOKENS: Final = "otlpTokens"
"""Key of the Secret under which both stand, a line each: the file that the Collectors read."""

KEYS: Final = (POSTGRES_PASSWORD, GRAFANA_ADMIN_PASSWORD, HASH_KEY, OTLP_TOKEN)
OPTIONAL: Final = (
    OTLP_TOKEN_OTHER,
    OBJECT_STORAGE_ACCESS_KEY,
    OBJECT_STORAGE_SECRET_KEY,
    *ALERT_WEBHOOK_URL.values(),
    *ALERT_SLACK_URL.values(),
    *ALERT_PAGERDUTY_KEY.values(),
    ALERT_HEARTBEAT_URL,
    ALERT_SMTP_PASSWORD,
)
"""Nobody can make these up; the settings may need some of them (`Alerting.needed_secrets`)."""
NAME: Final = "stack-secrets"


@dataclass(frozen=True, kw_only=True)
class SecretsArgs:
    namespace: pulumi.Input[str]
    protect: bool
    """Whether it can be deleted only by somebody who says that it may be: nobody else knows what is in it."""
    needed: Collection[str] = ()
    """Those of `OPTIONAL` that the settings need: without one the program ends, and says how it is set."""


class Secrets(pulumi.ComponentResource):
    """One Secret with a key for each of `KEYS`; pods take single keys from it by reference."""

    name: pulumi.Output[str]

    def __init__(self, name: str, args: SecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Secrets", name, None, opts)
        config = pulumi.Config()
        secret = k8s.core.v1.Secret(
            NAME,
            metadata=object_meta(NAME, args.namespace, component="secrets"),
            string_data={
                **{key: config.require_secret(key) for key in (*KEYS, *args.needed)},
                **{key: value for key in OPTIONAL if (value := config.get_secret(key)) is not None},
                OTLP_TOKENS: pulumi.Output.all(
                    config.require_secret(OTLP_TOKEN), config.get_secret(OTLP_TOKEN_OTHER)
                ).apply(lambda tokens: "".join(f"{token}\n" for token in tokens if token)),
            },
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        self.name = secret.metadata.name
        self.register_outputs({"name": self.name})


def variable(key: str) -> str:
    """Name of the environment variable that hands a secret to `make deploy`: SECRET_ALERT_PAGE_SLACK_URL."""
    return "SECRET_" + re.sub(r"(?=[A-Z])", "_", key).upper()


def given(key: str) -> str | None:
    """Value of that variable; None if it is not set, or empty."""
    return os.environ.get(variable(key)) or None


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
