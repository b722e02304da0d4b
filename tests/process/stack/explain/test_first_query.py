"""The first query of a runbook is answered by a real Prometheus that has the stack's own rules."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Never

import httpx
import pytest

from checks.harness.ports import free_port
from contracts.errors import UserError
from dashboards.rules import AlertRule, groups, rule_file
from stack.clients.loki import LokiClient
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient
from stack.explain.explain import Explainer, find_alert, rules_by_name
from stack.polling import CheckFailure, poll_until
from stack.release.journal import Journal
from stack.settings import load
from stack.settings.monitoring import monitoring_config
from tests.support.prometheus_process import PrometheusProcess

ALERT = "AlertmanagerDown"
SETTINGS = load("staging")
CONFIG = monitoring_config(SETTINGS)


class OnlyPrometheus:
    """Sources of which only Prometheus answers."""

    settings = SETTINGS

    def __init__(self, url: str, http: httpx.Client) -> None:
        self._client = PrometheusClient(url, http.get)

    @contextlib.contextmanager
    def prometheus(self) -> Iterator[PrometheusClient]:
        yield self._client

    def traces(self) -> contextlib.AbstractContextManager[TraceStoreClient]:
        return self._refuse()

    def loki(self) -> contextlib.AbstractContextManager[LokiClient]:
        return self._refuse()

    def journal(self) -> Journal | None:
        return None

    def _refuse(self) -> Never:
        raise UserError("the store is stopped")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnlyPrometheus]:
    """A Prometheus whose Alertmanager does not answer, so that the alert fires."""
    directory = tmp_path_factory.mktemp("prometheus")
    at_once = [
        dataclasses.replace(
            group,
            rules=tuple(
                dataclasses.replace(rule, for_="0s")
                for rule in group.rules
                if isinstance(rule, AlertRule) and rule.name == ALERT
            ),
        )
        for group in groups(CONFIG)
    ]
    rules = directory / "rules.yml"
    rules.write_text(rule_file(at_once, "http://grafana"))
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": "alertmanager", "static_configs": [{"targets": [f"127.0.0.1:{free_port()}"]}]},
        ],
    }
    process = PrometheusProcess(directory, config=config)
    process.start()
    with httpx.Client() as http:
        sources = OnlyPrometheus(process.url, http)
        poll_until("the alert to fire", lambda: _is_firing(sources), seconds=60, every=0.2, look_at="Prometheus")
        yield sources
    process.kill()


def _is_firing(sources: OnlyPrometheus) -> bool:
    with sources.prometheus() as prometheus:
        # It fires before the first scrape, too.
        if any("alertmanager" in alert["annotations"]["answer"] for alert in prometheus.alerts()):
            return True
    raise CheckFailure("it does not fire for the target", "Prometheus")


def test_the_query_of_the_runbook_says_which_pod_does_not_answer(sources: OnlyPrometheus) -> None:
    sections = Explainer(sources, list).explain(find_alert(ALERT, CONFIG))
    lines = {section.title: section.lines for section in sections}
    assert lines["Alert"][0].startswith(f"{ALERT} (page): firing since ")
    *_, row = lines["First query of the runbook"]
    assert row.startswith("→ instance=127.0.0.1:")
    assert row.endswith("job=alertmanager: 0")
    assert lines["Failing operations"] == ["no operation failed within 6 minutes"]


def test_without_a_name_the_target_that_is_down_and_its_alert_are_there(sources: OnlyPrometheus) -> None:
    sections = Explainer(sources, list).overview(rules_by_name(CONFIG))
    lines = {section.title: section.lines for section in sections}
    assert lines["Alerts, the newest first"][0].startswith(f"{ALERT} (page): firing since ")
    (down,) = lines["Down now"]
    assert down.startswith("Prometheus cannot scrape alertmanager (127.0.0.1:")
    assert lines["Slow operations"] == ["the 95th percentile of no operation was above 500 ms"]


def test_the_message_of_the_alert_has_the_same_answer(sources: OnlyPrometheus) -> None:
    with sources.prometheus() as prometheus:
        (alert,) = prometheus.alerts()
    assert alert["annotations"]["answer"].endswith("job=alertmanager 0")
    assert alert["annotations"]["explain"].startswith(f"./wct explain {ALERT}")
