"""A changed secret replaces the pods that hold it in their environment, and no others."""

from functools import cache

import pytest

from contracts import metadata, secret_keys
from stack.settings import PROJECT, effective_config
from tests.support.program import recorded

USERS = {
    secret_keys.POSTGRES_PASSWORD: {"postgres", "task-manager"},
    secret_keys.GRAFANA_ADMIN_PASSWORD: {"grafana"},
    secret_keys.OTLP_TOKEN: {"gateway", "task-manager", "web-crawler"},
    secret_keys.OTLP_TOKEN_OTHER: set(),  # the Collectors read it from a file, which follows
    secret_keys.OBJECT_STORAGE_ACCESS_KEY: {
        f"tempo{part}"
        for part in ("", "-distributor", "-live-store", "-block-builder", "-querier", "-backend-scheduler")
    }
    | {"tempo-backend-worker"},
}


@cache
def marks(changed: str | None) -> dict[str, str]:
    """The mark of each workload's pods, with one secret changed."""
    values = {key: f"value-of-{key}" for key in secret_keys.ALL}
    if changed:
        values[changed] = "another"
    made = recorded("prod", effective_config("prod") | {f"{PROJECT}:{key}": value for key, value in values.items()})
    return {
        item["metadata"]["name"]: item["spec"]["template"]["metadata"]["annotations"].get(metadata.SECRETS_CHECKSUM, "")
        for item in made.manifests
        if item["kind"] in ("Deployment", "StatefulSet")
    }


@pytest.mark.parametrize("secret", USERS)
def test_only_pods_that_hold_the_secret_are_replaced(secret: str) -> None:
    first, second = marks(None), marks(secret)
    assert {name for name in first if first[name] != second[name]} == USERS[secret]


def test_the_hash_key_marks_all_since_it_keeps_the_marks_from_telling_anything() -> None:
    first, second = marks(None), marks(secret_keys.HASH_KEY)
    assert {name for name in first if first[name] != second[name]} == {name for name, mark in first.items() if mark}
