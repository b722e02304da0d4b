"""What an assistant reads: complete, redacted and bounded."""

from typing import Any

import pytest

from contracts.errors import UserError
from stack.assistant.tools import MAX_POINTS, MAX_SERIES, MAX_SPANS, MAX_TEXT
from stack.clients.http import QueryError
from stack.release.journal import Journal, Phase
from stack.release.plan import Version
from stack.settings import load
from tests.support.assistant import NOW, PreparedSources, tools

SECRET = "password=hunter2-long-enough"


def _alert(**annotations: str) -> dict[str, Any]:
    labels = {"alertname": "SendingFails", "severity": "page", "service": "gateway"}
    return {"labels": labels, "annotations": annotations, "state": "firing", "activeAt": "2027-01-15T08:00:00Z"}


def _span(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "spanId": f"{number:016x}",
        "name": "GET /tasks",
        "kind": 2,
        "startTimeUnixNano": str(int((NOW + number) * 1e9)),
        "endTimeUnixNano": str(int((NOW + number) * 1e9) + 5_000_000),
        **fields,
    }


def _trace(*spans: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "gateway"}}]}
    return {"trace": {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}}


def _vector(count: int) -> dict[str, Any]:
    result = [{"metric": {"pod": f"pod-{number}"}, "value": [NOW, "1"]} for number in range(count)]
    return {"data": {"resultType": "vector", "result": result}}


def test_an_alert_has_its_labels_texts_and_start() -> None:
    sources = PreparedSources({"/api/v1/alerts": {"data": {"alerts": [_alert(summary="Messages are not sent")]}}})
    assert tools(sources).alerts() == {
        "alerts": [
            {
                "name": "SendingFails",
                "state": "firing",
                "since": "2027-01-15T08:00:00Z",
                "labels": {"severity": "page", "service": "gateway"},
                "annotations": {"summary": "Messages are not sent"},
            }
        ]
    }


def test_a_runbook_comes_with_the_expressions_of_its_alert() -> None:
    answer = tools(PreparedSources({})).runbook("ServiceDown")
    assert answer["runbook"].startswith("# ServiceDown\n")
    assert [service for service in answer["expressions"] if "gateway" in service]


def test_an_unknown_alert_is_refused_and_the_known_ones_can_be_listed() -> None:
    with pytest.raises(UserError, match="no alert 'Servicedown'"):
        tools(PreparedSources({})).runbook("Servicedown")
    assert "ServiceDown" in tools(PreparedSources({})).runbook()["alerts"]


def test_a_search_asks_the_store_for_the_time_window_that_ends_now() -> None:
    result = {"traceID": "ab", "startTimeUnixNano": str(int(NOW * 1e9)), "rootServiceName": "gateway", "durationMs": 7}
    sources = PreparedSources({"/api/search": {"traces": [result]}})
    answer = tools(sources).search_traces("gateway", operation="POST /tasks", failed=True, slower_than_ms=5, minutes=10)
    [trace] = answer["traces"]
    assert (trace["trace_id"], trace["milliseconds"]) == ("ab".zfill(32), 7)
    parameters = sources.requests[0].url.params
    assert int(parameters["end"]) - int(parameters["start"]) == 601
    for condition in ('"gateway"', 'name = "POST /tasks"', "status = error", "duration > 5ms"):
        assert condition in parameters["q"]


def test_secrets_in_spans_lines_and_alerts_are_redacted() -> None:
    attribute = {"key": "url.query", "value": {"stringValue": SECRET}}
    failed = {"code": 2, "message": f"refused: {SECRET}"}
    stream = {"stream": {"service_name": "gateway"}, "values": [[str(int(NOW * 1e9)), f"login {SECRET}"]]}
    sources = PreparedSources(
        {
            "/api/v2/traces/": _trace(_span(1, attributes=[attribute], status=failed)),
            "/loki/": {"data": {"resultType": "streams", "result": [stream]}},
            "/api/v1/alerts": {"data": {"alerts": [_alert(description=SECRET)]}},
        }
    )
    reader = tools(sources)
    answers = [reader.get_trace("a" * 32), reader.query_logs("{}"), reader.alerts()]
    assert "hunter2" not in repr(answers)
    assert answers[0]["spans"][0]["message"].startswith("refused: ")
    assert answers[1]["lines"][0]["text"].startswith("login ")


def test_a_long_answer_is_cut_and_says_how_much_is_left_out() -> None:
    sources = PreparedSources(
        {
            "/api/v2/traces/": _trace(*(_span(number) for number in range(MAX_SPANS + 2))),
            "/api/v1/query": _vector(MAX_SERIES + 3),
        }
    )
    trace, metrics = tools(sources).get_trace("a" * 32), tools(sources).query_metrics("up")
    assert (len(trace["spans"]), trace["left_out"]) == (MAX_SPANS, 2)
    assert (len(metrics["series"]), metrics["left_out_series"]) == (MAX_SERIES, 3)


def test_a_long_text_is_cut() -> None:
    sources = PreparedSources({"/api/v1/alerts": {"data": {"alerts": [_alert(description="long " * MAX_TEXT)]}}})
    assert len(tools(sources).alerts()["alerts"][0]["annotations"]["description"]) <= MAX_TEXT


@pytest.mark.parametrize("minutes", [1, 60, 24 * 60])
def test_a_window_has_few_points(minutes: float) -> None:
    sources = PreparedSources({"/api/v1/query_range": {"data": {"resultType": "matrix", "result": []}}})
    tools(sources).query_metrics("up", minutes=minutes)
    parameters = sources.requests[0].url.params
    assert (float(parameters["end"]) - float(parameters["start"])) / float(parameters["step"]) <= MAX_POINTS


def test_a_trace_that_the_store_does_not_have_is_an_error_with_the_possible_reasons() -> None:
    with pytest.raises(UserError, match="not yet, not any more, or it was not sampled"):
        tools(PreparedSources({})).get_trace("a" * 32)


def test_what_the_store_answers_to_a_wrong_query_is_passed_on() -> None:
    with pytest.raises(QueryError, match="404: no such page"):
        tools(PreparedSources({})).query_metrics("sum(")


def test_a_query_that_returns_a_string_is_refused() -> None:
    sources = PreparedSources({"/api/v1/query": {"data": {"resultType": "string", "result": [NOW, "text"]}}})
    with pytest.raises(QueryError, match="returns a string"):
        tools(sources).query_metrics('"text"')


def test_a_query_that_is_too_long_for_a_url_is_refused() -> None:
    with pytest.raises(QueryError, match="too long"):
        tools(PreparedSources({})).query_metrics("x" * 100_000)


def test_the_rollout_names_phase_stage_change_and_reason() -> None:
    tracing = load("dev").tracing
    journal = Journal(
        stable=Version(image="service:1", tracing=tracing),
        canary=Version(image="service:2", tracing=tracing),
        stage=2,
        passed=1,
        phase=Phase.DEGRADED,
        since=NOW,
        reason="errors: 5 %",
    )
    assert tools(PreparedSources({}, journal)).rollout()["rollout"] == {
        "phase": "Degraded",
        "since": "2027-01-15T08:00:00.000+00:00",
        "stage": 2,
        "last_successful_stage": 1,
        "changes": ["image: service:1 → service:2"],
        "reason": "errors: 5 %",
    }
    assert tools(PreparedSources({})).rollout()["rollout"] is None
