"""The dashboards and rules of a stack whose services are all the users' own."""

import json
import re

import pytest

from contracts import metrics, service_metrics
from contracts.services import SERVICES
from dashboards.annotations import annotations
from dashboards.catalog import HOME_DASHBOARD, dashboards, runbooks
from dashboards.config import MonitoringConfig
from dashboards.rules import alert_rules, groups
from dashboards.rules.runbook import first_query
from stack.settings import parse
from stack.settings.monitoring import monitoring_config
from tests.support.program import pipeline_config

_OF_SERVICES = {
    value for name, value in vars(service_metrics).items() if name.isupper() and not name.startswith("OUTCOME")
} | {metrics.DB_POOL_SIZE, metrics.SPANS_ENDED, metrics.SPANS_EXPORTED, metrics.EXPORT_REQUESTS, metrics.BREAKER_STATE}
_NAMES = re.compile("|".join(map(re.escape, sorted(_OF_SERVICES | {f'"{name}' for name in SERVICES}))))


@pytest.fixture(params=["tempo", "jaeger"])
def config(request: pytest.FixtureRequest) -> MonitoringConfig:
    return monitoring_config(parse(pipeline_config(traces={"backend": request.param}), "test"))


def test_no_panel_asks_for_what_only_the_stacks_services_have(config: MonitoringConfig) -> None:
    pages = dashboards(config)
    assert HOME_DASHBOARD in pages
    assert {"services", "database", "dependencies", "tracing-pipeline", "slo"} <= pages.keys()
    for uid, model in pages.items():
        assert not (match := _NAMES.search(json.dumps(model).replace('\\"', '"'))), f"{uid}: {match}"


def test_no_rule_waits_for_what_only_the_stacks_services_have(config: MonitoringConfig) -> None:
    for group in groups(config):
        for rule in group.rules:
            assert not (match := _NAMES.search(rule.query)), f"{rule.name}: {match}"
    for alert in alert_rules(groups(config)):
        assert not (match := _NAMES.search(first_query(alert.name))), f"{alert.name}: {match}"


def test_services_of_users_have_alerts_and_runbooks(config: MonitoringConfig) -> None:
    names = {rule.name for rule in alert_rules(groups(config))}
    assert {
        "ErrorRateHigh",
        "ServiceSlow",
        "ServiceQuiet",
        "ErrorBudgetBurns",
        "StatementsFail",
        "SpansMissing",
    } <= names
    assert not names & {"ServiceDown", "TasksSlow", "ConsumerStopped", "ExportFails", "TelemetryIncomplete"}
    assert len(runbooks(config)) == len(names)


def test_no_mark_shows_starts_and_rollouts_of_services(config: MonitoringConfig) -> None:
    assert [mark["name"] for mark in annotations(config)] == ["Alerts"]


def test_all_links_lead_to_a_page_that_exists(config: MonitoringConfig) -> None:
    pages = dashboards(config) | runbooks(config)
    linked = set(re.findall(r"/d/([a-z-]+)", json.dumps(dashboards(config))))
    assert linked <= pages.keys()
    assert {rule.dashboard for rule in alert_rules(groups(config))} <= pages.keys()
