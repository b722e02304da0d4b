"""A trace store and a log receiver without a query API: data goes there, and nothing claims to read it."""

import json
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from contracts import endpoints, secret_keys
from dashboards.catalog import dashboards, runbooks
from dashboards.config import MonitoringConfig
from dashboards.rules import alert_rules, groups
from stack.errors import DeployError
from stack.settings import Settings, parse
from stack.settings.missing_secrets import needed_secrets
from stack.settings.monitoring import monitoring_config
from stack.stores import Stores, external_stores, unqueried_stores
from tests.support.configuration import config, refusal
from tests.support.program import dev_with

TRACES = {"external": {"otlpUrl": "https://otlp.example.com:4317", "authorize": True, "receiverHeader": "api-key"}}
LOGS = {"external": {"otlpUrl": "https://logs.example.com/otlp", "protocol": "http"}}
BOTH: dict[str, Any] = {"traces": TRACES, "logs": LOGS}


def settings_with(**sections: Any) -> Settings:
    return parse(config(**sections), "Pulumi.test.yaml")


def datasources(**sections: Any) -> dict[str, Any]:
    """Uid → datasource of Grafana."""
    text = dev_with(**sections)["ConfigMap", "grafana-datasources"]["data"]["datasources.yaml"]
    return {source["uid"]: source for source in yaml.safe_load(text)["datasources"]}


def test_the_collectors_send_to_the_receivers() -> None:
    objects = dev_with(**BOTH)
    collector = yaml.safe_load(objects["ConfigMap", "collector-config"]["data"]["config.yaml"])
    traces = collector["exporters"]["otlp_grpc/traces"]
    assert (traces["endpoint"], traces["headers"]) == (
        "otlp.example.com:4317",
        {"api-key": "${env:TRACES_AUTHORIZATION}"},
    )
    assert collector["exporters"]["otlp_http/logs"]["endpoint"] == "https://logs.example.com/otlp"
    (gateway,) = objects["Deployment", "gateway"]["spec"]["template"]["spec"]["containers"]
    assert {item["name"]: item.get("value") for item in gateway["env"]}["OTEL_LOGS_EXPORTER"] == "otlp"


def test_grafana_has_neither_the_datasources_nor_links_to_them() -> None:
    sources = datasources(**BOTH)
    assert not {endpoints.TRACES_UID, endpoints.LOGS_UID} & set(sources)
    assert endpoints.TRACES_UID not in json.dumps(sources)
    assert endpoints.LOGS_UID not in json.dumps(sources)


def test_log_lines_have_no_link_to_traces_that_cannot_be_read_and_the_other_way_round() -> None:
    without_traces, without_logs = datasources(traces=TRACES), datasources(logs=LOGS)
    assert "derivedFields" not in without_traces[endpoints.LOGS_UID]["jsonData"]
    assert "exemplarTraceIdDestinations" not in without_traces[endpoints.PROMETHEUS_UID]["jsonData"]
    assert "tracesToLogsV2" not in without_logs[endpoints.TRACES_UID]["jsonData"]
    assert "exemplarTraceIdDestinations" in without_logs[endpoints.PROMETHEUS_UID]["jsonData"]


@pytest.mark.parametrize(
    ("sections", "uid"), [({"traces": TRACES}, endpoints.TRACES_UID), ({"logs": LOGS}, endpoints.LOGS_UID)]
)
@pytest.mark.parametrize("services", [True, False])
def test_no_panel_or_link_leads_to_a_store_that_cannot_be_queried(sections: Any, uid: str, services: bool) -> None:
    without = {} if services else {"services": {"enabled": False}}
    monitoring = monitoring_config(settings_with(**sections, **without))
    assert not references(monitoring, uid)
    texts = json.dumps([*dashboards(monitoring).values()])
    assert uid != endpoints.TRACES_UID or "open its trace" not in texts
    everything = monitoring_config(settings_with(**without))
    assert references(everything, uid), "the search sees references where there are some"


def references(monitoring: MonitoringConfig, uid: str) -> list[str]:
    """What refers to a datasource in dashboards and runbooks."""
    models = [*dashboards(monitoring).values(), *runbooks(monitoring).values()]
    text = unquote("\n".join(json.dumps(model, indent=0) for model in models))
    marks = [f'"uid": "{uid}"', f'"datasource": "{uid}"', f"var-ds={uid}"]
    return [mark for mark in marks if mark in text]


def test_alerts_on_what_the_collectors_count_stay() -> None:
    names = {rule.name for rule in alert_rules(groups(monitoring_config(settings_with(**BOTH))))}
    assert {"CollectorQueueStuck", "CollectorQueueFills", "ExportRefused", "SpansMissing"} <= names
    assert not {"TelemetryIncomplete", "ProbeSilent", "TraceStoreDown", "LogStoreDown"} & names


def test_there_is_no_probe_and_one_is_refused() -> None:
    assert ("Deployment", "probe") not in dev_with(**BOTH)
    assert ("Deployment", "probe") in dev_with(logs=LOGS)
    message = refusal(traces=TRACES, probe={"enabled": True})
    assert "probe.enabled looks for the trace of each request" in message
    assert "traces.external.queryUrl is not set" in message


def test_the_probe_does_not_look_for_logs_that_it_cannot_read() -> None:
    text = json.dumps(dev_with(logs=LOGS)["Deployment", "probe"])
    assert "LOKI_URL" not in text
    assert "TRACES_URL" in text


def test_the_network_is_open_to_the_receivers_alone() -> None:
    objects = dev_with(**BOTH)
    ports = {
        name: {port["port"] for rule in objects[kind, name]["spec"].get("egress", []) for port in rule.get("ports", [])}
        for kind, name in objects
        if kind == "NetworkPolicy"
    }
    assert 4317 in ports["collector"]
    with_queries = {"external": {**TRACES["external"], "queryUrl": "https://query.example.com:8443"}}
    opened = dev_with(traces=with_queries, logs=LOGS)["NetworkPolicy", "grafana"]
    assert "8443" in json.dumps(opened)
    assert not ports["grafana"] & {443, 8443, 4317}


def test_the_secrets_of_queries_are_not_needed() -> None:
    needed = {*needed_secrets(settings_with(**BOTH))}
    assert secret_keys.TRACES_AUTHORIZATION in needed
    assert not {secret_keys.TRACES_QUERY_AUTHORIZATION, secret_keys.LOGS_QUERY_AUTHORIZATION} & needed


def test_a_query_fails_with_the_setting_that_is_missing() -> None:
    settings = settings_with(**BOTH)
    stores = Stores(settings=settings, client=None)
    with pytest.raises(DeployError, match=r"the trace store cannot be queried: `traces\.external\.queryUrl` is not"):
        stores.traces().__enter__()
    with pytest.raises(DeployError, match=r"the log store cannot be queried: `logs\.external\.queryUrl` is not set"):
        stores.loki().__enter__()
    assert external_stores(settings) == {}
    assert set(unqueried_stores(settings)) == {endpoints.TRACES_UID, endpoints.LOGS_UID}
    assert unqueried_stores(settings_with(logs={"enabled": False})) == {}
