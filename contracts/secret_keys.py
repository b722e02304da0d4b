"""The keys of the stack's secrets: in Pulumi's configuration, and in the Kubernetes Secret that the pods read."""

import os
import re
from typing import Final

from contracts import endpoints
from contracts.services import CRAWLER, GATEWAY, TASK_MANAGER

POSTGRES_PASSWORD: Final = "postgresPassword"
GRAFANA_ADMIN_PASSWORD: Final = "grafanaAdminPassword"
GRAFANA_OIDC_CLIENT_SECRET: Final = "grafanaOidcClientSecret"
"""Secret of the client that your identity provider knows Grafana as."""
GRAFANA_DATABASE_PASSWORD: Final = "grafanaDatabasePassword"
GRAFANA_SECRET_KEY: Final = "grafanaSecretKey"
"""Key with which Grafana encrypts credentials in a database that several pods share."""
GRAFANA_TOKEN: Final = "grafanaToken"
"""Token of a service account of a Grafana that the stack did not build."""
HASH_KEY: Final = "hashKey"
"""Key of the hash that takes the place of personal data in traces."""
OTLP_TOKEN: Final = "otlpToken"
"""Bearer token that the Collectors' receivers require."""
OTLP_TOKEN_OTHER: Final = "otlpTokenOther"
"""A second token that the Collectors accept during a rotation: first the new one, then the old one."""
STACK_KEY: Final = "stackKey"
"""API key with which the stack's own programs call the gateway: the probe, smoke checks, the checks' load."""
STACK_KEY_OTHER: Final = "stackKeyOther"
"""A second one that the gateway accepts during a rotation: first the new one, then the old one."""
SERVICE_TOKEN: Final = "serviceToken"
"""Token by which the task-manager knows the gateway."""
SERVICE_TOKEN_OTHER: Final = "serviceTokenOther"
"""A second one that the task-manager accepts during a rotation, like `stackKeyOther`."""
TELEMETRY_TOKEN: Final = "telemetryToken"
"""Bearer token of the clients of the stack's own stores, and of what it scrapes, if telemetry is encrypted."""
TELEMETRY_TOKEN_OTHER: Final = "telemetryTokenOther"
"""A second one that counts during a rotation, like `otlpTokenOther`."""
OBJECT_STORAGE_ACCESS_KEY: Final = "objectStorageAccessKey"
OBJECT_STORAGE_SECRET_KEY: Final = "objectStorageSecretKey"
"""With `objectStorageAccessKey`, the keys of S3."""
OBJECT_STORAGE_SERVICE_ACCOUNT: Final = "objectStorageServiceAccount"
"""Key file of a service account of Google Cloud, as JSON."""
OBJECT_STORAGE_ACCOUNT_KEY: Final = "objectStorageAccountKey"
"""Key of a storage account of Azure."""
POSTGRES_EXTERNAL_PASSWORD: Final = "postgresExternalPassword"
"""Password of the tasks' role in a Postgres that the stack did not build."""
AUTHORITY_SEED: Final = "authoritySeed"
"""Random text from which the keys of the stack's own certificate authority are derived."""
POSTGRES_SERVICE_PASSWORD: Final = "postgresServicePassword"
"""Password of the task-manager's role in the stack's own Postgres, if its connections are encrypted."""
KAFKA_USER_PASSWORD: Final = {
    GATEWAY: "kafkaGatewayPassword",
    TASK_MANAGER: "kafkaTaskManagerPassword",
    CRAWLER: "kafkaCrawlerPassword",
    endpoints.COLLECTOR: "kafkaCollectorPassword",
    endpoints.SAMPLER: "kafkaSamplerPassword",
}
"""Passwords of the users of the stack's own Kafka, if its connections are encrypted."""
KAFKA_PASSWORD: Final = "kafkaPassword"
"""Password of the stack's user at a Kafka that the stack did not build."""
TRACES_AUTHORIZATION: Final = "tracesAuthorization"
"""Value of the header `Authorization` to the OTLP receiver of a trace store that the stack did not build."""
TRACES_QUERY_AUTHORIZATION: Final = "tracesQueryAuthorization"
"""The same to its query API."""
LOGS_AUTHORIZATION: Final = "logsAuthorization"
"""As `tracesAuthorization`, of a log store."""
LOGS_QUERY_AUTHORIZATION: Final = "logsQueryAuthorization"
METRICS_WRITE_TOKEN: Final = "metricsWriteToken"
"""Bearer token for remote write to a metric store that the stack did not build; its password if there is a user."""
METRICS_QUERY_AUTHORIZATION: Final = "metricsQueryAuthorization"
"""As `tracesQueryAuthorization`, of a metric store."""
ALERT_WEBHOOK_URL: Final = {"page": "alertPageWebhookUrl", "ticket": "alertTicketWebhookUrl"}
"""URL to which Alertmanager posts its own JSON, by severity."""
ALERT_SLACK_URL: Final = {"page": "alertPageSlackUrl", "ticket": "alertTicketSlackUrl"}
"""URL of an incoming webhook of Slack, by severity: each belongs to one channel."""
ALERT_PAGERDUTY_KEY: Final = {"page": "alertPagePagerdutyKey", "ticket": "alertTicketPagerdutyKey"}
"""Integration key of a PagerDuty service (Events API v2), by severity."""
ALERT_HEARTBEAT_URL: Final = "alertHeartbeatUrl"
"""URL of the dead man's switch."""
ALERT_SMTP_PASSWORD: Final = "alertSmtpPassword"

GENERATED: Final = (POSTGRES_PASSWORD, GRAFANA_ADMIN_PASSWORD, HASH_KEY, OTLP_TOKEN, STACK_KEY, SERVICE_TOKEN)
"""Every stack has these; `make deploy` generates the missing ones."""
OPTIONAL: Final = (
    GRAFANA_OIDC_CLIENT_SECRET,
    GRAFANA_DATABASE_PASSWORD,
    GRAFANA_SECRET_KEY,
    GRAFANA_TOKEN,
    OTLP_TOKEN_OTHER,
    STACK_KEY_OTHER,
    SERVICE_TOKEN_OTHER,
    TELEMETRY_TOKEN,
    TELEMETRY_TOKEN_OTHER,
    OBJECT_STORAGE_ACCESS_KEY,
    OBJECT_STORAGE_SECRET_KEY,
    POSTGRES_EXTERNAL_PASSWORD,
    AUTHORITY_SEED,
    POSTGRES_SERVICE_PASSWORD,
    *KAFKA_USER_PASSWORD.values(),
    KAFKA_PASSWORD,
    OBJECT_STORAGE_SERVICE_ACCOUNT,
    OBJECT_STORAGE_ACCOUNT_KEY,
    TRACES_AUTHORIZATION,
    TRACES_QUERY_AUTHORIZATION,
    LOGS_AUTHORIZATION,
    LOGS_QUERY_AUTHORIZATION,
    METRICS_WRITE_TOKEN,
    METRICS_QUERY_AUTHORIZATION,
    *ALERT_WEBHOOK_URL.values(),
    *ALERT_SLACK_URL.values(),
    *ALERT_PAGERDUTY_KEY.values(),
    ALERT_HEARTBEAT_URL,
    ALERT_SMTP_PASSWORD,
)
"""Some settings need some of these. Another system issues them, except those in `RANDOM`."""
RANDOM: Final = (
    *GENERATED,
    GRAFANA_SECRET_KEY,
    AUTHORITY_SEED,
    POSTGRES_SERVICE_PASSWORD,
    TELEMETRY_TOKEN,
    *KAFKA_USER_PASSWORD.values(),
)
"""Every long value will do: `make deploy` generates those that the settings need."""
ALL: Final = (*GENERATED, *OPTIONAL)

SECRET: Final = "stack-secrets"
"""Name of the Kubernetes Secret."""
OTLP_TOKENS: Final = "otlpTokens"
"""Key of that Secret that holds all accepted bearer tokens, one a line: the file that the Collectors read."""

TELEMETRY_TOKENS: Final = "telemetryTokens"
"""As `OTLP_TOKENS`, of `TELEMETRY_TOKEN`: the file that the proxies read."""
TELEMETRY_AUTHORIZATION: Final = "telemetryAuthorization"
"""Key of that Secret that holds the header `Authorization` with `TELEMETRY_TOKEN`."""


def variable(key: str) -> str:
    """Return the environment variable that passes a secret to `make deploy`, such as SECRET_ALERT_PAGE_SLACK_URL."""
    return "SECRET_" + re.sub(r"(?=[A-Z])", "_", key).upper()


def from_environment(key: str) -> str | None:
    """Return the value of a secret's environment variable, or None if it is unset or empty."""
    return os.environ.get(variable(key)) or None
