"""A proof with stores that lack a part: each step has its own result, and the user's steps decide on the verdict."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from prometheus_client.exposition import choose_encoder

from contracts.errors import UserError
from contracts.hops import HOPS, Hop
from stack.clients.loki import LokiClient
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient
from stack.probe.config import ProbeConfig
from stack.probe.loop import Loop
from stack.probe.proof import Proof, Prover, Result, Verdict
from stack.probe.results import Results
from stack.probe.telemetry import Step, Telemetry

TASK = "3f2b1c9e-0000-4000-8000-000000000001"
KINDS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}


@dataclass
class Stack:
    """Answers the probe's requests as the gateway, Jaeger, Prometheus and Loki do."""

    broken: frozenset[str] = frozenset()
    """Steps whose store does not have the telemetry."""
    trace_id: str = ""
    span_id: str = ""
    requests: list[httpx.Request] = field(default_factory=list)
    is_served: bool = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.path
        if request.method == "POST":
            return self._accept(request)
        if path.startswith("/api/tasks/"):
            status = "error" if "task" in self.broken else "completed"
            return httpx.Response(200, json={"id": TASK, "status": status, "result": "refused"})
        if path.startswith("/api/v3/traces/"):
            return self._trace()
        if path == "/api/traces":
            return httpx.Response(200, json={"data": self._search()})
        if path.startswith("/loki"):
            return self._lines()
        return httpx.Response(200, json={"data": self._metrics(path)})

    def _accept(self, request: httpx.Request) -> httpx.Response:
        if "request" in self.broken:
            return httpx.Response(503, json={})
        _, self.trace_id, self.span_id, _ = request.headers["traceparent"].split("-")
        self.is_served = True
        return httpx.Response(202, json={"id": TASK}, headers={"traceparent": request.headers["traceparent"]})

    def _trace(self) -> httpx.Response:
        ids = {hop: f"{number:016x}" for number, hop in enumerate(HOPS, 1)}
        hops = HOPS[:-1] if "trace" in self.broken else HOPS
        resources = [self._resource(hop, ids) for hop in hops]
        return httpx.Response(200, json={"result": {"resourceSpans": resources}})

    def _resource(self, hop: Hop, ids: dict[Hop, str]) -> dict[str, Any]:
        span = {
            "spanId": ids[hop],
            "parentSpanId": ids[hop.parent] if hop.parent else self.span_id,
            "name": hop.name,
            "kind": KINDS[hop.kind],
            "startTimeUnixNano": "1",
            "endTimeUnixNano": "2",
        }
        service = {"key": "service.name", "value": {"stringValue": hop.service}}
        return {"resource": {"attributes": [service]}, "scopeSpans": [{"spans": [span]}]}

    def _search(self) -> list[dict[str, Any]]:
        if "search" in self.broken:
            return []
        span = {"startTime": 1, "duration": 1, "processID": "p", "operationName": "x"}
        return [{"traceID": self.trace_id, "spans": [span], "processes": {"p": {"serviceName": "task-manager"}}}]

    def _lines(self) -> httpx.Response:
        if "logs" in self.broken:
            return httpx.Response(500)
        lines = [{"stream": {}, "values": [["1", "task accepted"]]}]
        return httpx.Response(200, json={"data": {"resultType": "streams", "result": lines}})

    def _metrics(self, path: str) -> Any:
        if path.endswith("query_exemplars"):
            exemplar = {"labels": {"trace_id": self.trace_id}}
            return [{"exemplars": [] if "exemplars" in self.broken else [exemplar]}]
        calls = 2 if self.is_served and "metrics" not in self.broken else 1
        series = [
            {
                "metric": {"service_name": hop.service, "span_kind": f"SPAN_KIND_{hop.kind}", "span_name": hop.name},
                "value": [0, str(calls)],
            }
            for hop in HOPS
        ]
        return {"resultType": "vector", "result": series}


def prove(stack: Stack, sleep: Callable[[float], object] = time.sleep) -> Proof:
    client = httpx.Client(transport=httpx.MockTransport(stack))
    telemetry = Telemetry(
        traces=TraceStoreClient("jaeger", "http://jaeger", client.get),
        prometheus=PrometheusClient("http://prometheus", client.get),
        loki=LokiClient("http://loki", client.get),
        tail_sampling=False,
    )
    prover = Prover(
        gateway="http://gateway",
        client=client,
        telemetry=telemetry,
        sleep=sleep,
        task_seconds=0.5,
        visible_seconds=0.1,
        pause_seconds=0.01,
    )
    return prover.prove()


def results(proof: Proof) -> dict[Step, Result]:
    return {step.step: step.result for step in proof.steps}


def test_a_proof_is_complete_when_every_step_finds_its_telemetry() -> None:
    stack = Stack()
    proof = prove(stack)
    assert proof.problems == []
    assert proof.verdict is Verdict.COMPLETE
    assert set(results(proof)) == set(Step)
    assert 0 < proof.complete_seconds < 5


@pytest.mark.parametrize("step", ["trace", "search", "logs", "metrics", "exemplars"])
def test_a_step_that_fails_says_what_it_waited_for_and_hides_no_other(step: str) -> None:
    proof = prove(Stack(broken=frozenset({step})))
    assert results(proof) == {each: Result.FAILED if each == step else Result.OK for each in Step}
    assert proof.verdict is Verdict.INCOMPLETE
    (problem,) = proof.problems
    assert problem.startswith(f"{step}: waited 0.1 s for ")


@pytest.mark.parametrize(("step", "reason"), [("request", "503"), ("task", "ended in error: refused")])
def test_without_a_served_user_nothing_is_known_of_the_telemetry(step: str, reason: str) -> None:
    proof = prove(Stack(broken=frozenset({step})))
    assert proof.verdict is Verdict.NO_TASK
    (problem,) = proof.problems
    assert reason in problem
    assert results(proof)[Step.TRACE] is Result.SKIPPED


def test_the_requests_are_marked_and_the_looks_at_the_task_are_not_sampled() -> None:
    stack = Stack()
    prove(stack)
    (post,) = [request for request in stack.requests if request.method == "POST"]
    looks = [request for request in stack.requests if request.url.path.startswith("/api/tasks/")]
    assert post.headers["tracestate"] == "keep=1"
    assert post.headers["traceparent"].endswith("-01")
    assert looks
    for request in (post, *looks):
        assert request.headers["User-Agent"] == "web-crawl-probe"
    assert all(request.headers["traceparent"].endswith("-00") for request in looks)


def test_the_results_are_metrics_with_the_trace_as_exemplar() -> None:
    metrics = Results()
    proof = prove(Stack(broken=frozenset({"search"})))
    metrics.add(proof)
    encode, _ = choose_encoder("application/openmetrics-text")
    text = encode(metrics.registry).decode()
    exemplar = f'trace_id="{proof.trace_id}"'
    for series in (
        'telemetry_probe_proofs_total{result="incomplete"} 1.0',
        'telemetry_probe_steps_total{result="failed",step="search"} 1.0',
        'telemetry_probe_steps_total{result="ok",step="trace"} 1.0',
    ):
        (line,) = [line for line in text.splitlines() if line.startswith(series)]
        assert exemplar in line
    assert 'telemetry_probe_proofs_total{result="complete"} 0.0' in text, "rate() must see the first increment"
    assert 'telemetry_probe_visible_seconds_count{step="trace"} 1.0' in text
    assert "telemetry_probe_complete_seconds_count 0.0" in text


def test_the_loop_goes_on_after_a_bug_and_a_stop_ends_a_proof_without_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.probe.loop._LEAST_PAUSE_SECONDS", 0.0)
    proofs: list[Proof] = []
    attempts = 0

    def attempt() -> Proof:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise RuntimeError("a bug")
        loop.stop()
        return prove(Stack(), loop.sleep)

    loop = Loop(attempt, proofs.append, interval_seconds=0)
    loop.run(first_seconds=0)
    assert attempts == 2
    assert not proofs


def test_wrong_variables_are_named_all_at_once() -> None:
    environ = {"GATEWAY_URL": "http://gateway", "TRACE_BACKEND": "zipkin", "PROBE_INTERVAL_SECONDS": "often"}
    with pytest.raises(UserError) as caught:
        ProbeConfig.from_env(environ)
    for name in ("TRACES_URL is not set", "PROMETHEUS_URL is not set", "TRACE_BACKEND=zipkin", "often"):
        assert name in str(caught.value)
