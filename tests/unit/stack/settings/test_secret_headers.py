"""A header to a store of yours that holds a secret is refused in clear, and the message says what to set instead."""

from typing import Any

import pytest

from contracts import secret_keys
from stack.settings import parse
from tests.support.configuration import config, refusal

VALUE = "hunter2"


def stack(section: str, name: str) -> dict[str, Any]:
    """Settings with a header to the store of a section."""
    external: dict[str, Any] = {"queryUrl": "https://store.example.com", "headers": {name: VALUE}}
    if section == "metrics":
        alerting = {"external": {"urls": ["http://alertmanager.monitoring:9093"]}}
        return {"metrics": {"external": {**external, "podMonitors": {}}}, "alerting": alerting}
    return {section: {"external": {**external, "otlpUrl": "https://otlp.example.com"}}}


@pytest.mark.parametrize(
    "name",
    [
        "authorization", "Proxy-Authorization", "api-key", "X-API-Key", "apikey", "DD-API-KEY", "x-honeycomb-team",
        "lightstep-access-token", "signoz-ingestion-key", "uptrace-dsn", "x-sentry-auth", "Cookie",
    ],
)  # fmt: skip
@pytest.mark.parametrize("section", ["traces", "logs", "metrics"])
def test_a_header_that_is_a_secret_by_its_name_is_refused(section: str, name: str) -> None:
    message = refusal(**stack(section, name))
    assert f"{section}.external.headers.{name}: a secret in clear" in message
    assert VALUE not in message


@pytest.mark.parametrize("name", ["X-Scope-OrgID", "x-tenant", "x-keyspace", "X-Monkey-Business", "team"])
def test_other_headers_are_sent_as_they_are(name: str) -> None:
    external = parse(config(**stack("traces", name)), "file").traces.external
    assert external
    assert external.headers == {name: VALUE}


def test_the_settings_that_the_message_names_send_the_header() -> None:
    message = refusal(**stack("traces", "x-honeycomb-team"))
    assert "set traces.external.authorize: true and receiverHeader: x-honeycomb-team" in message
    assert f"--secret {secret_keys.TRACES_AUTHORIZATION} -s STACK" in message
    assert f"authorizeQueries: true and the secret {secret_keys.TRACES_QUERY_AUTHORIZATION}" in message
    store = {"otlpUrl": "https://otlp.example.com", "authorize": True, "receiverHeader": "x-honeycomb-team"}
    assert parse(config(traces={"external": store}), "file").traces.external

    message = refusal(**stack("metrics", "api-key"))
    assert "set metrics.external.remoteWrite.authorize: true, and the secret metricsWriteToken with" in message
