"""A trace store or log store that the stack did not build: where data and queries go, and what the stack leaves out."""

from typing import Any

import pytest
import yaml

from contracts import endpoints, metrics, secret_keys
from contracts.metadata import Manifest
from dashboards.catalog import dashboards
from dashboards.rules import groups
from dashboards.rules.stages import legs
from stack.settings import parse
from stack.settings.missing_secrets import needed_secrets
from stack.settings.monitoring import monitoring_config
from tests.support.authority import CA
from tests.support.configuration import config, refusal
from tests.support.program import dev_with

TRACES = {
    "otlpUrl": "https://tempo.example.com:4317",
    "queryUrl": "https://tempo.example.com/query",
    "headers": {"X-Scope-OrgID": "tracing"},
    "ca": CA,
    "authorize": True,
    "authorizeQueries": True,
}
RECEIVER = {"otlpUrl": "https://otlp.example.com:4317"}
LOGS = {"otlpUrl": "https://loki.example.com/otlp", "protocol": "http", "queryUrl": "https://loki.example.com"}


def variables(manifest: Manifest) -> dict[str, Any]:
    """The variables of a pod's first container: their value, or the key of their secret."""
    (container, *_) = manifest["spec"]["template"]["spec"]["containers"]
    return {
        item["name"]: item.get("value") or item["valueFrom"].get("secretKeyRef", {}).get("key")
        for item in container["env"]
    }


EXTERNAL = {"traces": {"external": TRACES}, "logs": {"external": LOGS}}


def test_the_stack_builds_no_store_and_sends_to_yours() -> None:
    objects = dev_with(**EXTERNAL)
    assert not [name for _, name in objects if name.startswith(("tempo", "jaeger", "loki"))]
    collector = yaml.safe_load(objects["ConfigMap", "collector-config"]["data"]["config.yaml"])
    assert collector["exporters"]["otlp_grpc/traces"] | {"sending_queue": 0, "retry_on_failure": 0} == {
        "endpoint": "tempo.example.com:4317",
        "tls": {"ca_pem": CA},
        "headers": {"X-Scope-OrgID": "tracing", "Authorization": "${env:TRACES_AUTHORIZATION}"},
        "timeout": "10s",
        "keepalive": {"time": "10s", "timeout": "5s"},
        "sending_queue": 0,
        "retry_on_failure": 0,
    }
    assert collector["exporters"]["otlp_http/logs"]["endpoint"] == "https://loki.example.com/otlp"
    assert variables(objects["StatefulSet", "collector"])["TRACES_AUTHORIZATION"] == secret_keys.TRACES_AUTHORIZATION


def test_the_secret_is_the_header_that_the_receiver_expects() -> None:
    vendor = {**TRACES, "headers": {}, "receiverHeader": "api-key"}
    objects = dev_with(traces={"external": vendor}, logs={"external": LOGS})
    collector = yaml.safe_load(objects["ConfigMap", "collector-config"]["data"]["config.yaml"])
    assert collector["exporters"]["otlp_grpc/traces"]["headers"] == {"api-key": "${env:TRACES_AUTHORIZATION}"}


def test_with_sampling_the_samplers_send_to_it() -> None:
    objects = dev_with(**EXTERNAL, collector={"sampling": {"ratio": 0.1}})
    assert "TRACES_AUTHORIZATION" not in variables(objects["StatefulSet", "collector"])
    assert variables(objects["StatefulSet", "sampler"])["TRACES_AUTHORIZATION"] == secret_keys.TRACES_AUTHORIZATION


def test_grafana_and_the_probe_query_it_with_the_secret() -> None:
    objects = dev_with(**EXTERNAL)
    document = yaml.safe_load(objects["ConfigMap", "grafana-datasources"]["data"]["datasources.yaml"])
    traces, logs = (
        next(item for item in document["datasources"] if item["uid"] == uid)
        for uid in (endpoints.TRACES_UID, endpoints.LOGS_UID)
    )
    assert traces["url"] == "https://tempo.example.com/query"
    assert traces["jsonData"]["httpHeaderName2"] == "Authorization"
    assert traces["jsonData"]["tlsAuthWithCACert"] is True
    assert traces["secureJsonData"] == {
        "httpHeaderValue1": "tracing",
        "httpHeaderValue2": "$TRACES_QUERY_AUTHORIZATION",
        "tlsCACert": CA,
    }
    assert "secureJsonData" not in logs
    assert logs["jsonData"]["derivedFields"]
    key = secret_keys.TRACES_QUERY_AUTHORIZATION
    assert variables(objects["StatefulSet", "grafana"])["TRACES_QUERY_AUTHORIZATION"] == key
    probe = variables(objects["Deployment", "probe"])
    assert probe["TRACES_AUTHORIZATION"] == key
    assert (probe["TRACES_URL"], probe["TRACES_CA"]) == (TRACES["queryUrl"], CA)
    assert "LOKI_AUTHORIZATION" not in probe


def test_nothing_waits_for_metrics_of_a_store_that_prometheus_does_not_scrape() -> None:
    settings = parse(config(**EXTERNAL), "Pulumi.test.yaml")
    monitoring = monitoring_config(settings)
    rules = {rule.name for group in groups(monitoring) for rule in group.rules}
    assert not rules & {"TraceStoreDown", "LogStoreDown"}
    assert [leg.target.name for leg in legs(monitoring)][-1] == "sent"
    texts = [str(model) for model in dashboards(monitoring).values()]
    texts += [str(rule.query) for group in groups(monitoring) for rule in group.rules]
    for job in (metrics.TRACE_STORE_JOB, metrics.LOG_STORE_JOB):
        assert not [text for text in texts if f'"{job}"' in text]
    scraped = dev_with(**EXTERNAL)["ConfigMap", "prometheus-config"]["data"]["prometheus.yml"]
    assert "trace-store" not in scraped


def test_a_missing_secret_of_a_store_is_named() -> None:
    settings = parse(config(**EXTERNAL), "Pulumi.test.yaml")
    assert {secret_keys.TRACES_AUTHORIZATION, secret_keys.TRACES_QUERY_AUTHORIZATION} <= {*needed_secrets(settings)}
    assert secret_keys.LOGS_AUTHORIZATION not in needed_secrets(settings)


@pytest.mark.parametrize(
    ("external", "parts"),
    [
        ({**TRACES, "otlpUrl": "http://tempo:4317"}, ["traces.external: authorize: the secret would be sent in clear"]),
        ({**TRACES, "queryUrl": "http://tempo"}, ["traces.external: authorizeQueries: the secret would be sent in"]),
        ({**TRACES, "otlpUrl": "tempo:4317"}, ["traces.external.otlpUrl"]),
        ({**TRACES, "ca": "/etc/ca.pem"}, ["traces.external.ca"]),
        ({"queryUrl": "https://tempo"}, ["traces.external.otlpUrl: missing"]),
        ({**RECEIVER, "authorizeQueries": True}, ["authorizeQueries is not used: queryUrl is not set"]),
        ({**TRACES, "headers": {"Authorization": "Bearer abc"}}, ["a secret in clear"]),
    ],
)
def test_a_store_that_cannot_be_used_or_would_leak_is_refused(external: Any, parts: list[str]) -> None:
    message = refusal(traces={"external": external})
    for part in parts:
        assert part in message


def test_a_tempo_of_the_stack_and_yours_exclude_each_other() -> None:
    storage = {"s3": {"bucket": "abc", "endpoint": "s3.example.com"}}
    assert "external is yours" in refusal(traces={"external": TRACES, "objectStorage": storage})
