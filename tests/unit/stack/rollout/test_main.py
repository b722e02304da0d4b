"""The judge in the cluster: its exit follows the same verdicts as `make rollout`."""

from collections.abc import Sequence
from typing import Any

import pytest

from contracts import service_metrics
from stack.clients.http import QueryError
from stack.clients.prometheus import Series
from stack.components.services.rollout import Gate, StageAnalysis
from stack.rollout.__main__ import judge_stage
from stack.rollout.gate import Verdict


class Stack:
    """Prometheus' answers, and a clock that a pause moves on."""

    def __init__(self, *, failures: float = 0.0, rate: float = 20.0, silent_until: float = 0.0) -> None:
        self.failures = failures
        self.rate = rate
        self.silent_until = silent_until
        self.now = 0.0
        self.lines: list[str] = []

    def query(self, promql: str, time: float) -> Sequence[Series]:
        if self.now < self.silent_until:
            raise QueryError("connection refused")
        requests = time * self.rate
        values: list[tuple[dict[str, str], float]] = []
        for track, failures in (("canary", self.failures), ("stable", 0.0)):
            labels = {"job": "gateway", "track": track}
            if service_metrics.HTTP_DURATION in promql:
                values += [({**labels, "le": edge}, requests) for edge in ("0.01", "0.025", "0.1", "+Inf")]
            elif service_metrics.HTTP_REQUESTS in promql:
                values.append((labels, requests * failures if "5.." in promql else requests))
        return [Series(labels=labels, points=((time, value),)) for labels, value in values]

    def judge(self, **limits: Any) -> Verdict:
        analysis = StageAnalysis(
            service="gateway",
            prometheus="http://prometheus:9090",
            soak_seconds=60,
            is_traced=False,
            gate=Gate(**limits),
        )
        return judge_stage(analysis, self.query, clock=lambda: self.now, pause=self._pause, report=self.lines.append)

    def _pause(self, seconds: float) -> None:
        self.now += seconds
        assert self.now < 20_000, self.lines[-1:]


def test_a_good_version_is_successful_after_the_soak() -> None:
    stack = Stack()
    assert stack.judge() is Verdict.SUCCESSFUL
    assert 60 <= stack.now < 120


def test_a_bad_version_fails_before_the_end_of_the_soak() -> None:
    stack = Stack(failures=0.3)
    assert stack.judge() is Verdict.FAILED
    assert stack.now < 60
    assert "errors, gateway, requests" in stack.lines[-1]


@pytest.mark.parametrize(("undecided", "verdict"), [("continue", Verdict.SUCCESSFUL), ("back", Verdict.FAILED)])
def test_an_undecided_stage_ends_as_the_settings_say(undecided: str, verdict: Verdict) -> None:
    stack = Stack(rate=0.01)
    assert stack.judge(undecided=undecided, patience_seconds=100) is verdict
    assert stack.now == 160


def test_a_held_stage_waits_until_there_is_traffic() -> None:
    stack = Stack(silent_until=3600)
    assert stack.judge(patience_seconds=100) is Verdict.SUCCESSFUL
    assert stack.now >= 3600
    assert any("does not answer" in line for line in stack.lines)
