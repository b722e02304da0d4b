"""What the check finds, on a real Prometheus that scrapes itself, and how it draws it."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel as SdkPanel

from checks.dashboards.report import report
from checks.dashboards.run import Check, Result
from checks.dashboards.sources import PrometheusSource
from checks.dashboards.substitute import Window
from contracts import endpoints
from dashboards.dashboard import variable
from dashboards.panels import Column, NodeGraphStats, Query, Thresholds, node_graph, stat, table, text, timeseries
from dashboards.rules import AlertRule, RuleGroup
from stack.clients.prometheus import PrometheusClient
from stack.polling import poll_until
from tests.support.panels import dashboard_of
from tests.support.prometheus_process import PrometheusProcess


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus with some seconds of its own metrics."""
    process = PrometheusProcess(tmp_path_factory.mktemp("prometheus"), scrapes_itself=True)
    process.start()
    poll_until("two scrapes", lambda: process.query("count_over_time(up[1m]) >= 2"))
    yield process.url
    process.kill()


def checked(url: str, *panels: Builder[SdkPanel], rules: tuple[RuleGroup, ...] = (), variables: Any = ()) -> Result:
    now = time.time()
    window = Window(start=now - 60, end=now, step=5)
    model = dashboard_of(*panels, variables=variables)
    with httpx.Client() as client:
        prometheus = PrometheusClient(url, client.get)
        return Check({endpoints.PROMETHEUS_UID: PrometheusSource(prometheus)}, prometheus, window, 1).run(
            [model], rules
        )


def stat_panel(title: str, query: str, **options: Any) -> Builder[SdkPanel]:
    return stat(title, "What it is.", query, unit="short", **options)


def failures(result: Result) -> Mapping[str, str]:
    return {failure.where: failure.what for failure in result.failures}


def test_a_panel_with_data_passes(url: str) -> None:
    result = checked(url, stat_panel("fine", "up"), timeseries("also", "It.", [Query(expr="up")], unit="short"))
    assert not result.failures
    assert (result.queries, len(result.dashboards["Up"])) == (2, 3)


def test_no_data_is_a_failure_unless_it_is_normal(url: str) -> None:
    result = checked(
        url, stat_panel("empty", "nothing"), stat_panel("calm", "nothing", normally_empty="no event happened.")
    )
    assert set(failures(result)) == {"empty"}
    assert failures(result)["empty"].startswith("no data")


def test_values_that_are_no_numbers_are_no_data(url: str) -> None:
    assert set(failures(checked(url, stat_panel("nan", "0 / (up - up)")))) == {"nan"}


def test_a_broken_query_is_a_failure_even_where_no_data_is_normal(url: str) -> None:
    result = checked(
        url, stat_panel("broken", "sum(", normally_empty="it may be."), stat_panel("unknown", 'up{job="$unknown"}')
    )
    assert "parse error" in failures(result)["broken"]
    assert "$unknown" in failures(result)["unknown"]


def test_variables_are_asked_for_and_used(url: str) -> None:
    fine = checked(
        url, stat_panel("of a job", 'up{job=~"$job"}'), variables=(variable("job", "Job", "label_values(up, job)"),)
    )
    assert (fine.variables, fine.failures) == (1, [])
    wrong = checked(url, stat_panel("all", "up"), variables=(variable("job", "Job", "label_values(nothing, job)"),))
    assert "no values" in failures(wrong)["variable job"]


def test_an_alert_may_be_silent_but_not_broken(url: str) -> None:
    def alert(name: str, query: str) -> AlertRule:
        return AlertRule(
            name=name, query=query, for_="0s", severity="page", summary="", description="", dashboard="services"
        )

    rules = (RuleGroup(name="g", rules=(alert("Silent", "up == 2"), alert("Broken", "up =="))),)
    result = checked(url, stat_panel("fine", "up"), rules=rules)
    assert set(failures(result)) == {"Broken"}
    assert result.alerts == 2


def test_a_datasource_that_is_not_there_is_a_failure(url: str) -> None:
    now = time.time()
    with httpx.Client() as client:
        prometheus = PrometheusClient(url, client.get)
        model = dashboard_of(stat_panel("lost", "up"))
        result = Check({}, prometheus, Window(start=now - 60, end=now, step=5), 1).run([model], ())
    assert "no datasource" in failures(result)["lost"]


def test_a_prometheus_that_does_not_answer_is_a_failure() -> None:
    result = checked("http://127.0.0.1:9", stat_panel("lost", "up"))
    assert "Connect" in failures(result)["lost"]


def test_the_report_shows_every_panel_and_escapes_what_came_from_outside(url: str) -> None:
    nodes = 'label_replace(up, "id", "a<b", "", "") or label_replace(up, "id", "c", "", "")'
    edges = 'label_replace(label_replace(up, "source", "a<b", "", ""), "target", "c", "", "")'

    def stats(query: str) -> NodeGraphStats:
        return NodeGraphStats(rate=query, p95_ms=query, failed=query)

    result = checked(
        url,
        stat_panel("<script>alert(1)</script>", "up", thresholds=Thresholds(None, 1)),
        timeseries("lines", "It.", [Query(expr="up", legend="{{job}}")], unit="percentunit", stacked=True),
        table(
            "rows",
            "It.",
            [Column(title="Up", query="up", unit="short", thresholds=Thresholds(None, 1, rising=False))],
            by={"job": "Job"},
        ),
        node_graph("map", "It.", stats(nodes), stats(edges)),
        text("*words* <b>"),
        stat_panel("gone", "nothing"),
        stat_panel("calm", "nothing", normally_empty="no <i>event</i> happened."),
    )
    now = time.time()
    html = report("x", "now", result, (), Window(start=now - 60, end=now, step=5))
    body = html.partition("</script>")[2]
    for part in ("&lt;script&gt;alert(1)", ">lines<", ">rows<", ">map<", ">gone<", ">calm<", "no &lt;i&gt;event"):
        assert body.count(part) == 1, part
    assert "<script>alert(1)" not in html
    assert "1 failures" in body
    assert "prometheus</td>" in body
    assert "*words* &lt;b&gt;" in body


def test_a_failure_names_dashboard_panel_and_query(url: str) -> None:
    (failure,) = checked(url, stat_panel("empty", "nothing_of_this_name")).failures
    assert (failure.dashboard, failure.where) == ("Up", "empty")
    assert failure.what.startswith("no data\n(nothing_of_this_name) or ")
