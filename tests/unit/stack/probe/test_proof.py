"""A proof with stores that lack a part: each step has its own result, and the user's steps decide on the verdict."""

import threading
import time
from collections.abc import Callable

import httpx
import pytest
from prometheus_client.exposition import choose_encoder

from contracts.errors import UserError
from stack.clients.traces import TraceStoreClient
from stack.probe.config import ProbeConfig
from stack.probe.loop import Loop
from stack.probe.proof import Proof, Prover, Result, Verdict
from stack.probe.results import Results
from stack.probe.telemetry import Step
from tests.support.probed_stack import ProbedStack, telemetry


def prove(stack: ProbedStack, sleep: Callable[[float], object] = time.sleep) -> Proof:
    client = httpx.Client(transport=httpx.MockTransport(stack))
    prover = Prover(
        gateway="http://gateway",
        client=client,
        telemetry=telemetry(client, TraceStoreClient("jaeger", "http://jaeger", client.get)),
        sleep=sleep,
        task_seconds=0.5,
        visible_seconds=0.1,
        pause_seconds=0.01,
    )
    return prover.prove()


def results(proof: Proof) -> dict[Step, Result]:
    return {step.step: step.result for step in proof.steps}


def test_a_proof_is_complete_when_every_step_finds_its_telemetry() -> None:
    stack = ProbedStack()
    proof = prove(stack)
    assert proof.problems == []
    assert proof.verdict is Verdict.COMPLETE
    assert set(results(proof)) == set(Step)
    assert 0 < proof.complete_seconds < 5


@pytest.mark.parametrize("step", ["trace", "search", "logs", "metrics", "exemplars"])
def test_a_step_that_fails_says_what_it_waited_for_and_hides_no_other(step: str) -> None:
    proof = prove(ProbedStack(broken=frozenset({step})))
    assert results(proof) == {each: Result.FAILED if each == step else Result.OK for each in Step}
    assert proof.verdict is Verdict.INCOMPLETE
    (problem,) = proof.problems
    assert problem.startswith(f"{step}: waited 0.1 s for ")


@pytest.mark.parametrize(("step", "reason"), [("request", "503"), ("task", "ended in error: refused")])
def test_without_a_served_user_nothing_is_known_of_the_telemetry(step: str, reason: str) -> None:
    proof = prove(ProbedStack(broken=frozenset({step})))
    assert proof.verdict is Verdict.NO_TASK
    (problem,) = proof.problems
    assert reason in problem
    assert results(proof)[Step.TRACE] is Result.SKIPPED


def test_the_requests_are_marked_and_the_looks_at_the_task_are_not_sampled() -> None:
    stack = ProbedStack()
    prove(stack)
    (post,) = [request for request in stack.requests if request.url.path == "/api/tasks"]
    looks = [request for request in stack.requests if request.url.path.startswith("/api/tasks/")]
    assert post.headers["tracestate"] == "keep=1"
    assert post.headers["traceparent"].endswith("-01")
    assert looks
    for request in (post, *looks):
        assert request.headers["User-Agent"] == "web-crawl-probe"
    assert all(request.headers["traceparent"].endswith("-00") for request in looks)


def test_the_results_are_metrics_with_the_trace_as_exemplar() -> None:
    metrics = Results()
    proof = prove(ProbedStack(broken=frozenset({"search"})))
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
    stopping = threading.Event()
    attempts = 0

    def attempt() -> Proof:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise RuntimeError("a bug")
        stopping.set()
        return prove(ProbedStack(), loop.sleep)

    loop = Loop(attempt, proofs.append, interval_seconds=0, stopping=stopping)
    loop.run(first_seconds=0)
    assert attempts == 2
    assert not proofs


def test_wrong_variables_are_named_all_at_once() -> None:
    environ = {"GATEWAY_URL": "http://gateway", "TRACE_BACKEND": "zipkin", "PROBE_INTERVAL_SECONDS": "often"}
    with pytest.raises(UserError) as caught:
        ProbeConfig.from_env(environ)
    for name in (
        "TRACES_URL is not set",
        "OTLP_TOKEN is not set",
        "PROMETHEUS_URL is not set",
        "PROBE_VISIBLE_SECONDS is not set",
        "TRACE_BACKEND=zipkin",
        "often",
    ):
        assert name in str(caught.value)
