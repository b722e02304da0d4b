"""A changed secret replaces the pods that hold it in their environment, and no others."""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

import pytest

from contracts import metadata, secret_keys
from contracts.services import SERVICES
from stack.components.secrets.rotation import digest
from tests.support.program import rendered_with_secrets

USERS = {
    secret_keys.POSTGRES_PASSWORD: {"postgres", "task-manager"},
    secret_keys.GRAFANA_ADMIN_PASSWORD: {"grafana"},
    secret_keys.OTLP_TOKEN: {*SERVICES, "probe"},
    secret_keys.OTLP_TOKEN_OTHER: set(),  # the Collectors read it from a file, which follows
    secret_keys.POSTGRES_SERVICE_PASSWORD: {"postgres", "task-manager"},
    secret_keys.KAFKA_USER_PASSWORD["gateway"]: {"gateway", "kafka-users"},
    secret_keys.TELEMETRY_AUTHORIZATION: {"collector", "sampler", "grafana", "probe"},
    secret_keys.TELEMETRY_TOKEN: set(),  # Prometheus and the proxies read it from files
    secret_keys.AUTHORITY_SEED: set(),  # no pod needs it
    secret_keys.OBJECT_STORAGE_ACCESS_KEY: {
        f"tempo{part}"
        for part in ("", "-distributor", "-live-store", "-block-builder", "-querier", "-backend-scheduler")
    }
    | {"tempo-backend-worker", "loki"},
}


VALUES = {key: f"value-of-{key}" for key in secret_keys.ALL}
PARTS = {secret_keys.TELEMETRY_AUTHORIZATION: secret_keys.TELEMETRY_TOKEN}
"""Header that pods have in their environment → the secret in it."""


@cache
def pods() -> dict[str, dict[str, Any]]:
    """Return the pods of each workload, as `prod` declares them with all secrets."""
    return {
        item["metadata"]["name"]: item["spec"]["template"]
        for item in rendered_with_secrets("prod")
        if item["kind"] in ("Deployment", "StatefulSet")
    }


def secrets_in_environment(pod: dict[str, Any]) -> set[str]:
    """Return the keys of the secrets that a pod's containers have in their environment."""
    containers = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
    variables = [variable for container in containers for variable in container.get("env", [])]
    return {
        item["valueFrom"]["secretKeyRef"]["key"] for item in variables if "secretKeyRef" in item.get("valueFrom", {})
    }


def mark(secrets: Collection[str], values: Mapping[str, str]) -> str:
    known = {**values, **{header: f"Bearer {values[token]}" for header, token in PARTS.items()}}
    return digest({"key": known[secret_keys.HASH_KEY]} | {f"of-{secret}": known[secret] for secret in secrets})


@pytest.mark.parametrize("secret", USERS)
def test_the_table_of_users_is_true(secret: str) -> None:
    assert {name for name, pod in pods().items() if secret in secrets_in_environment(pod)} == USERS[secret]


def test_the_mark_of_a_pod_is_made_from_the_secrets_in_its_environment() -> None:
    for name, pod in pods().items():
        secrets = secrets_in_environment(pod)
        expected = mark(secrets, VALUES) if secrets else None
        assert pod["metadata"]["annotations"].get(metadata.SECRETS_CHECKSUM) == expected, name


@pytest.mark.parametrize("changed", secret_keys.ALL)
def test_only_pods_that_hold_the_secret_are_replaced(changed: str) -> None:
    values = VALUES | {changed: "another"}
    for name, pod in pods().items():
        if secrets := secrets_in_environment(pod):
            # The hash key is in every mark, so that a mark reveals nothing about the secrets.
            is_replaced = changed in {*(PARTS.get(secret, secret) for secret in secrets), secret_keys.HASH_KEY}
            assert (mark(secrets, values) != mark(secrets, VALUES)) == is_replaced, name
