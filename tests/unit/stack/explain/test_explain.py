"""What `wct explain` prints for an alert: complete, redacted, and without the sources that do not answer."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from contracts.errors import UserError
from dashboards.rules.runbook import RUNBOOKS
from stack.explain.change import Change
from stack.explain.explain import Explainer, find_alert, rules_by_name
from stack.explain.sections import Section
from stack.release.journal import Journal, Phase
from stack.release.plan import Version
from stack.settings import load, parse
from stack.settings.monitoring import monitoring_config
from tests.support.assistant import NOW, PreparedSources
from tests.support.configuration import config

CONFIG = monitoring_config(load("staging"))
SECRET = "password=hunter2-long-enough"
NO_LINES: dict[str, Any] = {"data": {"resultType": "streams", "result": []}}
TRACE = "0af7651916cd43dd8448eb211c80319c"


def _active(**annotations: str) -> dict[str, Any]:
    labels = {"alertname": "ErrorRateHigh", "service_name": "gateway", "service": "gateway"}
    return {"labels": labels, "annotations": annotations, "state": "firing", "activeAt": "2027-01-15T08:00:00.5Z"}


def _vector(**labels: str) -> dict[str, Any]:
    return {"data": {"resultType": "vector", "result": [{"metric": labels, "value": [NOW, "12"]}]}}


def _span(number: int, parent: int, service: str, message: str = "") -> dict[str, Any]:
    return {
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
        "scopeSpans": [
            {
                "spans": [
                    {
                        "spanId": f"{number:016x}",
                        "parentSpanId": f"{parent:016x}",
                        "name": f"operation {number}",
                        "startTimeUnixNano": str(int((NOW - 30) * 1e9) + number),
                        "endTimeUnixNano": str(int((NOW - 30) * 1e9) + 9),
                        "status": {"code": 2, "message": message},
                        "attributes": [{"key": "error.type", "value": {"stringValue": "TimeoutError"}}],
                    }
                ]
            }
        ],
    }


def _answers(**changes: Any) -> dict[str, Any]:
    failed = [_span(1, 0, "gateway"), _span(2, 1, "task-manager", f"no connection, {SECRET}")]
    summary = {"traceID": TRACE, "startTimeUnixNano": str(int(NOW * 1e9)), "durationMs": 7}
    return {
        "/api/v1/alerts": {"data": {"alerts": [_active(summary="12 % fail", users="3 of 10 requests failed")]}},
        "/api/v1/query_exemplars": {"data": [{"exemplars": [{"labels": {"trace_id": TRACE}}]}]},
        "/api/v1/query": _vector(service_name="gateway", span_name="POST /api/tasks", span_kind="SPAN_KIND_SERVER"),
        "/api/search": {"traces": [summary]},
        "/api/v2/traces/": {"trace": {"resourceSpans": failed}},
    } | changes


def explain(
    answers: dict[str, Any], changes: Sequence[Change] = (), journal: Journal | None = None
) -> dict[str, Sequence[str]]:
    explainer = Explainer(PreparedSources(answers, journal), lambda: changes, clock=lambda: NOW)
    return _by_title(explainer.explain(find_alert("ErrorRateHigh", CONFIG)))


def _by_title(sections: Iterable[Section]) -> dict[str, Sequence[str]]:
    return {section.title: section.lines for section in sections}


def test_the_alert_comes_with_its_texts_and_the_users_that_are_affected() -> None:
    assert explain(_answers())["Alert"] == [
        "ErrorRateHigh (page): firing since 2027-01-15T08:00:00Z",
        "12 % fail",
        "Users: 3 of 10 requests failed",
    ]


def test_an_alert_that_does_not_fire_has_the_time_of_its_last_end() -> None:
    none_active: dict[str, Any] = {"/api/v1/alerts": {"data": {"alerts": []}}}
    ended = {"data": {"resultType": "vector", "result": [{"metric": {}, "value": [NOW, str(NOW - 600)]}]}}
    lines = explain(_answers(**none_active, **{"/api/v1/query": ended}))["Alert"]
    assert lines == ["ErrorRateHigh (page): neither pending nor firing now; it fired last 10 min ago"]
    never = {"data": {"resultType": "vector", "result": []}}
    lines = explain(_answers(**none_active, **{"/api/v1/query": never}))["Alert"]
    assert lines == ["ErrorRateHigh (page): neither pending nor firing now; it did not fire within 24 hours"]


def test_a_response_4xx_is_no_failure() -> None:
    refused = _span(1, 0, "gateway")
    (span,) = refused["scopeSpans"][0]["spans"]
    span["attributes"].append({"key": "http.response.status_code", "value": {"intValue": "404"}})
    answers = _answers(**{"/api/v2/traces/": {"trace": {"resourceSpans": [refused]}}})
    assert explain(answers)["Error and trace"] == ["the trace store has none of the failed traces yet"]


def test_the_error_is_that_of_the_span_in_which_the_failure_began_and_is_redacted() -> None:
    sections = explain(_answers())
    assert sections["Failing operations"][1].split() == ["12.00", "12.00", "gateway", "SERVER", "POST", "/api/tasks"]
    lines = sections["Error and trace"]
    assert lines[0] == f"Trace: {TRACE}, ended 30 s ago"
    assert lines[1] == "Operation: task-manager: operation 2"
    assert lines[2].startswith("Error: TimeoutError: no connection")
    assert "hunter2" not in lines[2]


def test_an_exemplar_is_taken_where_the_search_finds_nothing() -> None:
    lines = explain(_answers(**{"/api/search": {"traces": []}}))["Error and trace"]
    assert f"Trace: {TRACE}, ended 30 s ago" in lines


def test_of_a_store_that_only_receives_the_ids_of_failed_traces_are_named() -> None:
    receiver = {"external": {"otlpUrl": "https://otlp.example.com:4317"}}
    sources = PreparedSources(_answers(), settings=parse(config(traces=receiver), "test"))
    explainer = Explainer(sources, tuple, clock=lambda: NOW)
    lines = _by_title(explainer.explain(find_alert("ErrorRateHigh", CONFIG)))["Error and trace"]
    assert lines[0] == "the trace store cannot be queried: `traces.external.queryUrl` is not set"
    assert lines[1] == f"Trace to look up there: {TRACE}"
    assert not [request for request in sources.requests if request.url.path == "/api/search"]


def test_without_a_failure_no_trace_is_searched() -> None:
    empty = {"data": {"resultType": "vector", "result": []}}
    lines = explain(_answers(**{"/api/v1/query": empty}))["Error and trace"]
    assert lines == ["no operation failed within 6 minutes"]


def test_the_rollout_and_the_newest_changes_are_listed() -> None:
    tracing = load("dev").tracing
    journal = Journal(
        stable=Version(image="app:1", tracing=tracing),
        canary=Version(image="app:2", tracing=tracing),
        stage=2,
        passed=1,
        phase=Phase.DEGRADED,
        since=NOW - 60,
        reason="errors",
    )
    changes = [Change(seconds=NOW - 90 - number, text=f"gateway deployed {number}") for number in range(9)]
    lines = explain(_answers(), changes, journal)["What changed last"]
    assert lines[0].startswith("rollout Degraded at stage 2 since 2027-01-15 07:59:00Z: image: app:1 → app:2")
    assert lines[1] == "rolled back because errors"
    assert lines[2] == "90 s ago, 2027-01-15 07:58:30Z: gateway deployed 0"
    assert len(lines) == 10


def test_the_first_query_of_the_runbook_is_answered() -> None:
    lines = explain(_answers())["First query of the runbook"]
    assert lines[0] in (RUNBOOKS / "ErrorRateHigh.md").read_text()
    assert lines[-1].startswith("→ service_name=gateway") or "→ service_name=gateway" in lines[-1]


def test_a_source_that_fails_hides_no_other() -> None:
    answers = _answers()
    del answers["/api/search"]
    sections = explain(answers)
    assert sections["Error and trace"] == ["no answer: QueryError: 404: no such page"]
    assert sections["Alert"][0].startswith("ErrorRateHigh")
    assert sections["Links"][0].endswith("(dashboards/runbooks/ErrorRateHigh.md)")


def test_an_unknown_alert_gets_the_nearest_names() -> None:
    with pytest.raises(UserError, match="no alert 'Servicedown'; the nearest names are ServiceDown"):
        find_alert("Servicedown", CONFIG)


def overview(answers: dict[str, Any], *unready: str) -> dict[str, Sequence[str]]:
    changes = [Change(seconds=NOW - 90, text="gateway deployed")]
    explainer = Explainer(PreparedSources(answers), lambda: changes, lambda: unready, clock=lambda: NOW)
    return _by_title(explainer.overview(rules_by_name(CONFIG)))


def _of(name: str, severity: str, state: str, time: str) -> dict[str, Any]:
    return {
        "labels": {"alertname": name, "severity": severity},
        "annotations": {"summary": f"{name} says"},
        "state": state,
        "activeAt": f"2027-01-15T{time}Z",
    }


def test_without_an_alert_the_picture_is_there_all_the_same() -> None:
    sections = overview(_answers(**{"/api/v1/alerts": {"data": {"alerts": []}}}), f"pod kafka-0 is not ready: {SECRET}")
    assert sections["Alerts, the newest first"] == [
        "no alert is pending or firing; what fails may be too new for an alert"
    ]
    assert sections["Down now"][-1].startswith("pod kafka-0 is not ready")
    assert "hunter2" not in sections["Down now"][-1]
    assert f"Trace: {TRACE}, ended 30 s ago" in sections["Error and trace"]
    assert sections["Slow operations"] == ["the 95th percentile of no operation was above 500 ms"]
    assert sections["What changed last"][-1].endswith("gateway deployed")


def test_a_stack_without_a_fault_says_so() -> None:
    empty = {"data": {"resultType": "vector", "result": []}}
    sections = overview(
        _answers(**{"/api/v1/alerts": {"data": {"alerts": []}}, "/api/v1/query": empty, "/loki/": NO_LINES})
    )
    assert sections["Down now"] == ["all pods are ready, and Prometheus can scrape all targets"]
    assert sections["Slow operations"] == ["the 95th percentile of no operation was above 500 ms"]
    assert sections["Failing operations"] == ["no operation failed within 6 minutes"]
    assert sections["Warnings and errors of the services"] == ["no service logged one within 5 minutes"]
    assert sections["Fatal errors of PostgreSQL and Kafka"] == ["none was logged within 5 minutes"]


def test_fatal_errors_are_redacted() -> None:
    explainer = Explainer(PreparedSources(_answers()), list, fatal=lambda: [f"pod postgres-0: FATAL: {SECRET}"])
    (line,) = _by_title(explainer.overview(rules_by_name(CONFIG)))["Fatal errors of PostgreSQL and Kafka"]
    assert line.startswith("pod postgres-0: FATAL")
    assert "hunter2" not in line


def test_the_alert_that_began_now_is_explained_and_the_others_are_listed() -> None:
    alerts = [
        _of("Watchdog", "none", "firing", "07:59:59"),
        _of("LagGrows", "ticket", "firing", "07:59:00"),
        _of("ServiceDown", "page", "firing", "07:50:00"),
        _of("CollectorDown", "ticket", "pending", "07:58:00"),
        _of("RuleOfOthers", "page", "firing", "07:59:00"),
    ]
    lines = overview(_answers(**{"/api/v1/alerts": {"data": {"alerts": alerts}}}))["Alerts, the newest first"]
    assert lines[:2] == ["LagGrows (ticket): firing since 2027-01-15T07:59:00Z, 60 s ago", "LagGrows says"]
    assert "More about it: ./wct explain LagGrows" in lines
    assert lines[-3:] == [
        "CollectorDown (ticket): pending since 2027-01-15T07:58:00Z, 2 min ago: CollectorDown says",
        "Older than 3 minutes, perhaps of an earlier fault:",
        "ServiceDown (page): firing since 2027-01-15T07:50:00Z, 10 min ago: ServiceDown says",
    ]
    assert not any("Watchdog" in line or "RuleOfOthers" in line for line in lines)


def test_without_a_new_alert_the_most_severe_is_explained() -> None:
    alerts = [
        _of("LagGrows", "ticket", "firing", "07:52:00"),
        _of("ServiceDown", "page", "firing", "07:50:00"),
    ]
    lines = overview(_answers(**{"/api/v1/alerts": {"data": {"alerts": alerts}}}))["Alerts, the newest first"]
    assert lines[0].startswith("ServiceDown (page)")
    assert lines[-1].startswith("LagGrows (ticket)")
    assert not any(line.startswith("Older") for line in lines)


def test_escape_sequences_do_not_reach_the_terminal() -> None:
    explainer = Explainer(PreparedSources(_answers()), list, fatal=lambda: ["FATAL: \x1b[2J\x9b31m\rdone é"])
    (line,) = _by_title(explainer.overview(rules_by_name(CONFIG)))["Fatal errors of PostgreSQL and Kafka"]
    assert line == "FATAL:  [2J 31m done é"
