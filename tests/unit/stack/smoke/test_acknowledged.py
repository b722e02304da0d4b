"""Without a trace store that can be queried, the smoke check reads what the Collectors and samplers count."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from contracts import metrics
from stack.clients.prometheus import PrometheusClient
from stack.polling import CheckFailure
from stack.rollout.analysis import smoke_finding
from stack.settings import Settings, parse
from stack.smoke.acknowledged import Watch
from stack.smoke.model import Acknowledgement, Report
from stack.smoke.report import show, show_json
from tests.support.program import pipeline_config

RECEIVER = {"external": {"otlpUrl": "https://otlp.example.com:4317"}}
PLAIN = parse(pipeline_config(traces=RECEIVER), "test")
SAMPLED = parse(pipeline_config(traces=RECEIVER, collector={"sampling": {"ratio": 0.1}}), "test")
STORED = f"{metrics.STORED_SPAN_DURATION}_count"


class Counters:
    """Prometheus with one pod of each job; a name of a metric and a job → its value."""

    def __init__(self, **values: float) -> None:
        self.values = {"accepted": 0.0, "sent": 0.0, "failed": 0.0, "waiting": 0.0, "calls": 0.0, **values}
        self.scraped = 1000.0
        self.on_query: Callable[[], object] = lambda: None

    def client(self) -> PrometheusClient:
        http = httpx.Client(transport=httpx.MockTransport(self._answer))
        return PrometheusClient("http://prometheus", http.get)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.on_query()
        query = request.url.params["query"]
        labels, value = self._result(query)
        result = [{"metric": labels, "value": [self.scraped, str(value)]}]
        return httpx.Response(200, json={"data": {"resultType": "vector", "result": result}})

    def _result(self, query: str) -> tuple[dict[str, str], float]:
        if "timestamp(" in query:
            return {}, self.scraped
        if "sum by (service_name)" in query:
            return {metrics.SERVICE: "smoke-check"}, self._value(query, "calls")
        names = {
            metrics.ACCEPTED_SPANS: "accepted",
            metrics.SENT_SPANS: "sent",
            metrics.SEND_FAILED_SPANS: "failed",
            metrics.SENDING_QUEUE_SIZE: "waiting",
            STORED: "stored",
        }
        name = next(name for metric, name in names.items() if metric in query)
        return {metrics.JOB: "pods", metrics.INSTANCE: "0"}, self._value(query, name)

    def _value(self, query: str, name: str) -> float:
        of_samplers = "sampler" in query or STORED in query
        return self.values.get(f"sampler_{name}", 0.0) if of_samplers else self.values[name]


def watch(counters: Counters, settings: Settings = PLAIN) -> Watch:
    return Watch(counters.client(), settings, seconds=0.0)


def test_what_was_accepted_is_acknowledged() -> None:
    counters = Counters(accepted=100, sent=100, calls=4)
    watched = watch(counters)
    counters.values |= {"accepted": 102, "sent": 102, "calls": 6}
    (result,) = watched.wait()
    assert (result.program, result.accepted, result.sent) == ("Collectors", 2, 2)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"accepted": 102, "sent": 101, "waiting": 1, "calls": 6}, "1 are acknowledged, 0 given up, 1 wait"),
        ({"accepted": 103, "sent": 103, "failed": 1, "calls": 6}, "3 are acknowledged, 1 given up, 0 wait"),
        ({"accepted": 102, "sent": 102}, "the Collectors to count the spans of the check"),
    ],
)
def test_spans_that_wait_or_were_refused_or_never_came_fail_the_check(changes: dict[str, float], problem: str) -> None:
    counters = Counters(accepted=100, sent=100, calls=4)
    watched = watch(counters)
    counters.values |= changes
    with pytest.raises(CheckFailure, match=problem):
        watched.wait()


def test_spans_that_waited_before_the_check_must_leave_the_queue_as_well() -> None:
    counters = Counters(accepted=100, sent=90, waiting=10)
    watched = watch(counters)
    counters.values |= {"accepted": 102, "sent": 92, "waiting": 10, "calls": 2}
    with pytest.raises(CheckFailure, match="to acknowledge 12 spans: 2 are acknowledged, 0 given up, 10 wait"):
        watched.wait()
    counters.values |= {"sent": 102, "waiting": 0}
    assert watched.wait()[0].sent == 12


def test_later_spans_of_others_may_still_wait() -> None:
    counters = Counters(accepted=100, sent=100)
    watched = watch(counters)
    counters.values |= {"accepted": 120, "calls": 2}

    def traffic_goes_on() -> None:
        counters.values["accepted"] += 5
        counters.values["sent"] = counters.values["accepted"] - 5

    counters.on_query = traffic_goes_on
    (result,) = watched.wait()
    assert result.sent >= result.accepted > 20


def test_a_pod_that_restarted_counts_from_zero() -> None:
    counters = Counters(accepted=100, sent=100, calls=4)
    watched = watch(counters)
    counters.values |= {"accepted": 2, "sent": 2, "calls": 2}
    assert watched.wait()[0].accepted == 2


def test_an_older_scrape_of_the_collectors_is_not_used() -> None:
    counters = Counters(accepted=100, sent=100)
    watched = watch(counters)
    counters.values |= {"accepted": 102, "sent": 102, "calls": 2}
    http = counters.client()

    def query(url: str, **rest: Any) -> httpx.Response:
        # The Collectors' own metrics were scraped before their span metrics.
        counters.scraped = 990.0 if "min(" in rest["params"]["query"] else 1000.0
        return http.get(url, **rest)

    watched._prometheus = PrometheusClient("http://prometheus", query)
    with pytest.raises(CheckFailure, match="Prometheus to scrape the Collectors again"):
        watched.wait()


def test_with_sampling_the_samplers_must_send_what_they_keep() -> None:
    counters = Counters(accepted=100, sent=100, sampler_stored=10, sampler_sent=10, sampler_calls=2)
    watched = watch(counters, SAMPLED)
    counters.values |= {"accepted": 130, "sent": 130, "calls": 2, "sampler_stored": 12, "sampler_calls": 4}
    watched._seconds = 0.0
    with pytest.raises(CheckFailure, match="receiver of the samplers to acknowledge 2 spans: 0 are acknowledged"):
        watched.wait()
    counters.values["sampler_sent"] = 12
    assert [(one.program, one.sent) for one in watched.wait()] == [("Collectors", 30), ("samplers", 2)]


REPORT = Report(
    trace_id="0af7651916cd43dd8448eb211c80319c",
    stored=None,
    acknowledged=[Acknowledgement(program="Collectors", accepted=12, sent=13, query="sum(sent)")],
    calls={"gateway": 3.0},
    metrics_query="calls",
    task={"status": "completed"},
    task_seconds=1.25,
)


def test_the_report_says_that_the_trace_was_not_checked(capsys: pytest.CaptureFixture[str]) -> None:
    show(REPORT)
    assert capsys.readouterr().out.splitlines() == [
        "task completed after 1.2 s",
        "Collectors: 12 spans accepted, those of the check among them; their receiver has acknowledged 13, and refused"
        " none",
        "trace 0af7651916cd43dd8448eb211c80319c itself was not checked: the trace store cannot be queried: "
        "`traces.external.queryUrl` is not set",
        "calls in the span metrics: gateway 3",
        "to repeat: sum(sent); calls",
    ]
    show_json(REPORT)
    assert '"acknowledged": [' in capsys.readouterr().out


def test_so_does_the_gate_of_a_rollout() -> None:
    finding = smoke_finding(REPORT)
    assert finding.canary == (
        "spans acknowledged: 12 of the Collectors; no trace is checked: the trace store cannot be queried: "
        "`traces.external.queryUrl` is not set"
    )
    assert finding.query == "sum(sent)"
