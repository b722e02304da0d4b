"""Which secrets a deployment has: given ones, those of the cluster, and random ones that it makes."""

import pytest

from contracts import secret_keys
from stack.deploy.preflight import secret_values
from stack.settings import Settings, parse
from tests.support.configuration import config

DATABASE = {"host": "db.example.com:5432"}


def settings(**grafana: object) -> Settings:
    return parse(config(grafana=grafana), "Pulumi.test.yaml")


def test_random_ones_are_made_once() -> None:
    first = secret_values(settings(), {}, ())
    assert set(first) == {*secret_keys.GENERATED}
    assert len(set(first.values())) == len(first)
    assert secret_values(settings(), first, ()) == first


def test_a_key_of_grafana_is_made_for_a_shared_database() -> None:
    made = secret_values(settings(database=DATABASE), {}, ())
    assert len(made[secret_keys.GRAFANA_SECRET_KEY]) >= 32
    assert secret_keys.GRAFANA_DATABASE_PASSWORD not in made, "another system issues it"


def test_given_ones_replace_those_of_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(secret_keys.variable(secret_keys.GRAFANA_SECRET_KEY), "given")
    existing = {secret_keys.GRAFANA_SECRET_KEY: "existing", secret_keys.OTLP_TOKEN_OTHER: "other"}
    made = secret_values(settings(database=DATABASE), existing, ())
    assert made[secret_keys.GRAFANA_SECRET_KEY] == "given"
    assert made[secret_keys.OTLP_TOKEN_OTHER] == "other"


def test_forgotten_ones_are_left_out() -> None:
    existing = {secret_keys.OTLP_TOKEN_OTHER: "other"}
    assert secret_keys.OTLP_TOKEN_OTHER not in secret_values(settings(), existing, [secret_keys.OTLP_TOKEN_OTHER])
