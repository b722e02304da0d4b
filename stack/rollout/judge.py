"""Judges the measurements of a stage by the gate."""

from collections.abc import Iterator

from contracts.services import GATEWAY, SERVICES
from dashboards.queries import MEMORY
from stack.rollout import gate
from stack.rollout.gate import Finding, Sample, Verdict
from stack.rollout.measurements import OPERATIONS, Measurements, Operation, duration_query, failed_query
from stack.settings.rollout import Gate


def judge(canary: Measurements, baseline: Measurements, limits: Gate, seconds: float) -> Iterator[Finding]:
    """Compares the canary with the stable version.

    Args:
        canary: the measurements of the stage so far.
        baseline: the measurements of the baseline window.
        limits: the limits of the settings.
        seconds: the length of the stage so far.
    """
    for operation in OPERATIONS:
        for job in SERVICES:
            yield from _judge_operation(operation, job, canary, baseline, limits, seconds)
    yield from gate.memory(canary.memory.get("canary", {}), baseline.memory.get("baseline", {}), limits, MEMORY)


def _judge_operation(
    operation: Operation, job: str, canary: Measurements, baseline: Measurements, limits: Gate, seconds: float
) -> Iterator[Finding]:
    key = f"{job}, {operation.name}"
    new = canary.samples.get("canary", {}).get(key, Sample())
    usual = baseline.samples.get("baseline", {}).get(key, Sample())
    # The stable version shows which operations a service has. A consumer of the canary may have been assigned no
    # partition; the gateway gets requests in any case.
    is_measured = new.operations >= limits.operations or job == GATEWAY
    if usual.operations < limits.operations or not is_measured:
        if operation.name == "requests" and job == GATEWAY:
            yield gate.problem(f"errors, {key}", "not enough traffic yet", Verdict.INCONCLUSIVE)
        return
    yield gate.errors(key, new, usual, limits, failed_query(operation, seconds))
    yield from gate.durations(key, new, usual, limits, duration_query(operation, seconds))
