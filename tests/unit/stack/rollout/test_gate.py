"""Judgements over counts: what is bad is found, what is good passes, and of little nothing is said."""

from __future__ import annotations

import math
import random

import pytest

from stack.rollout import gate
from stack.rollout.gate import Sample, Spans, Verdict
from stack.settings.rollout import Gate

LIMITS = Gate()
EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, math.inf)


def sample(operations: int, failures: int = 0, times: list[float] | None = None) -> Sample:
    took = times if times is not None else [0.008] * operations
    return Sample(
        operations=operations, failures=failures, buckets={edge: sum(t <= edge for t in took) for edge in EDGES}
    )


def test_intervals_are_those_of_the_literature() -> None:
    # Newcombe 1998, table II, column (a), method 10, and table I of part one, method 3: 95 % two-sided.
    assert gate.difference(56, 70, 48, 80, 0.975) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert gate.wilson(81, 263, 0.975) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert gate.wilson(0, 0, 0.99) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("canary", "baseline", "verdict"),
    [
        (sample(1000), sample(3000), Verdict.GOOD),
        (sample(1000, 50), sample(3000), Verdict.BAD),
        (sample(100, 8), sample(300), Verdict.BAD),
        (sample(40, 40), sample(300), Verdict.OPEN),
        (sample(100), sample(300), Verdict.OPEN),
        (sample(1000, 50), sample(3000, 150), Verdict.OPEN),
        (sample(9000, 450), sample(9000, 450), Verdict.GOOD),
    ],
)
def test_errors(canary: Sample, baseline: Sample, verdict: Verdict) -> None:
    assert gate.errors("gateway, requests", canary, baseline, LIMITS, "").verdict is verdict


def test_a_good_version_is_seldom_called_bad_and_one_with_five_percent_errors_seldom_good() -> None:
    chance = random.Random(1)

    def draw(share: float, operations: int) -> int:
        return sum(chance.random() < share for _ in range(operations))

    def verdicts(share: float) -> list[Verdict]:
        return [
            gate.errors("", sample(600, draw(share, 600), []), sample(1800, draw(0.002, 1800), []), LIMITS, "").verdict
            for _ in range(300)
        ]

    assert verdicts(0.002).count(Verdict.BAD) <= 3
    found = verdicts(0.05)
    assert found.count(Verdict.BAD) >= 290
    assert Verdict.GOOD not in found


def test_fifty_milliseconds_more_are_seen_in_the_median_and_none_are_not() -> None:
    chance = random.Random(2)

    def times(count: int, more: float = 0.0) -> list[float]:
        return [chance.lognormvariate(math.log(0.009), 0.5) + more for _ in range(count)]

    baseline = sample(1200, times=times(1200))
    median, _ = gate.durations("", sample(100, times=times(100, 0.05)), baseline, LIMITS, "")
    assert median.verdict is Verdict.BAD
    same = gate.durations("", sample(400, times=times(400)), baseline, LIMITS, "")
    assert [finding.verdict for finding in same] == [Verdict.GOOD, Verdict.GOOD]


def test_a_slow_tail_is_seen_though_the_median_is_the_same() -> None:
    baseline = sample(2000, times=[0.008] * 1990 + [0.04] * 10)
    tail = sample(400, times=[0.008] * 380 + [0.8] * 20)
    median, p99 = gate.durations("", tail, baseline, LIMITS, "")
    assert (median.verdict, p99.verdict) == (Verdict.GOOD, Verdict.BAD)


def test_nothing_is_said_of_durations_that_nobody_has_measured() -> None:
    for finding in gate.durations("", Sample(), Sample(), LIMITS, ""):
        assert finding.verdict is Verdict.OPEN


@pytest.mark.parametrize(("used", "verdict"), [(110, Verdict.GOOD), (140, Verdict.GOOD), (180, Verdict.BAD)])
def test_memory(used: int, verdict: Verdict) -> None:
    (finding,) = gate.memory({"gateway": used * 2**20}, {"gateway": 100 * 2**20}, LIMITS, "")
    assert finding.verdict is verdict


@pytest.mark.parametrize(
    ("spans", "export", "accounting"),
    [
        (Spans(ended=1000, exported=990, waiting=10), Verdict.GOOD, Verdict.GOOD),
        (Spans(ended=1000, exported=900, given_up=100), Verdict.BAD, Verdict.GOOD),
        (Spans(ended=1000, exported=500), Verdict.GOOD, Verdict.BAD),
        (Spans(ended=10, exported=1, given_up=9), Verdict.OPEN, Verdict.OPEN),
    ],
)
def test_spans(spans: Spans, export: Verdict, accounting: Verdict) -> None:
    assert [finding.verdict for finding in gate.spans(spans, LIMITS, "")] == [export, accounting]


@pytest.mark.parametrize(
    ("whole", "missed", "verdict"),
    [(20, 0, Verdict.GOOD), (19, 1, Verdict.GOOD), (15, 1, Verdict.OPEN), (5, 0, Verdict.OPEN), (1, 4, Verdict.BAD)],
)
def test_coverage(whole: int, missed: int, verdict: Verdict) -> None:
    assert gate.coverage(whole, ["a hop"] * missed, LIMITS, "").verdict is verdict
