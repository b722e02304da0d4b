"""The probe with a real trace store: while that is stopped, its proofs are incomplete and say why."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from checks.harness.collector import MissingProgram
from checks.harness.jaeger import JaegerProcess
from lean_tracing.otlp_exporter import TRACES
from stack.probe.proof import Proof, Prover, Result, Verdict
from stack.probe.telemetry import Step
from tests.support.otlp_json import encode
from tests.support.probed_stack import ProbedStack, telemetry
from tests.support.programs import skipping


@pytest.fixture
def jaeger(tmp_path: Path) -> Iterator[JaegerProcess]:
    with skipping("jaeger", MissingProgram):
        process = JaegerProcess(tmp_path)
    process.start()
    yield process
    process.kill()


def export(jaeger: JaegerProcess, resources: list[dict[str, Any]], trace_id: str) -> None:
    """Sends spans as the Collector does."""
    with grpc.insecure_channel(jaeger.otlp) as channel:
        channel.unary_unary(TRACES)(encode(resources, trace_id), timeout=10)


def prove(jaeger: JaegerProcess, visible_seconds: float, *, broken: str = "", stored: bool = True) -> Proof:
    """Makes a proof; the services' spans are exported to the real store if `stored`."""

    def store(stack: ProbedStack) -> None:
        if stored:
            export(jaeger, stack.spans(), stack.trace_id)

    stack = ProbedStack(broken=frozenset({broken}), started=time.time_ns(), on_accept=store)
    stack.on_root = lambda stack: export(jaeger, [stack.root], stack.trace_id) if stored else None
    client = httpx.Client(transport=httpx.MockTransport(stack))
    prover = Prover(
        gateway="http://gateway",
        client=client,
        telemetry=telemetry(client, jaeger.store),
        visible_seconds=visible_seconds,
        pause_seconds=0.1,
    )
    return prover.prove()


def failed(proof: Proof) -> set[Step]:
    """Return the steps that failed."""
    return {step.step for step in proof.steps if step.result is Result.FAILED}


def test_the_steps_of_the_store_fail_while_it_is_stopped_and_then_succeed(jaeger: JaegerProcess) -> None:
    whole = prove(jaeger, 60)
    assert whole.problems == []
    assert whole.verdict is Verdict.COMPLETE

    jaeger.kill()
    proof = prove(jaeger, 1, stored=False)
    assert proof.verdict is Verdict.INCOMPLETE
    assert failed(proof) == {Step.TRACE, Step.SEARCH, Step.EXEMPLARS}
    assert f"trace: waited 1 s for the whole trace {proof.trace_id} in the trace store: ConnectError" in "\n".join(
        proof.problems
    )

    jaeger.start()
    assert prove(jaeger, 60).problems == []


def test_a_missing_hop_is_named(jaeger: JaegerProcess) -> None:
    proof = prove(jaeger, 1, broken="trace")
    assert failed(proof) == {Step.TRACE}
    (problem,) = proof.problems
    assert "hop missing: task-manager" in problem
