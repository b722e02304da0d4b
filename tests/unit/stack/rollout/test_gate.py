"""The gate: a worse version fails, one that is as good passes, and few operations are inconclusive."""

import math
from random import Random

import pytest

from stack.rollout import gate
from stack.rollout.gate import Sample, Spans, Verdict
from stack.settings.rollout import Gate

LIMITS = Gate()
EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, math.inf)


def sample(operations: int, failures: int = 0, times: list[float] | None = None) -> Sample:
    durations = times if times is not None else [0.008] * operations
    return Sample(
        operations=operations, failures=failures, buckets={edge: sum(t <= edge for t in durations) for edge in EDGES}
    )


def test_intervals_are_those_of_the_literature() -> None:
    # Newcombe 1998, table II, column (a), method 10, and table I of part one, method 3: 95 % two-sided.
    assert gate.difference(56, 70, 48, 80, 0.975) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert gate.wilson(81, 263, 0.975) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert gate.wilson(0, 0, 0.99) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("canary", "baseline", "verdict"),
    [
        (sample(1000), sample(3000), Verdict.SUCCESSFUL),
        (sample(1000, 50), sample(3000), Verdict.FAILED),
        (sample(100, 8), sample(300), Verdict.FAILED),
        (sample(40, 40), sample(300), Verdict.INCONCLUSIVE),
        (sample(100), sample(300), Verdict.INCONCLUSIVE),
        (sample(1000, 50), sample(3000, 150), Verdict.INCONCLUSIVE),
        (sample(9000, 450), sample(9000, 450), Verdict.SUCCESSFUL),
    ],
)
def test_errors(canary: Sample, baseline: Sample, verdict: Verdict) -> None:
    assert gate.errors("gateway, requests", canary, baseline, LIMITS, "").verdict is verdict


def test_a_good_version_seldom_fails_and_one_with_five_percent_errors_never_passes() -> None:
    rng = Random(1)

    def draw(share: float, operations: int) -> int:
        return sum(rng.random() < share for _ in range(operations))

    def verdicts(share: float) -> list[Verdict]:
        return [
            gate.errors("", sample(600, draw(share, 600), []), sample(1800, draw(0.002, 1800), []), LIMITS, "").verdict
            for _ in range(300)
        ]

    assert verdicts(0.002).count(Verdict.FAILED) <= 3
    bad = verdicts(0.05)
    assert bad.count(Verdict.FAILED) >= 290
    assert Verdict.SUCCESSFUL not in bad


def test_fifty_milliseconds_more_fail_the_median_and_the_same_durations_pass() -> None:
    rng = Random(2)

    def times(count: int, delay: float = 0.0) -> list[float]:
        return [rng.lognormvariate(math.log(0.009), 0.5) + delay for _ in range(count)]

    baseline = sample(1200, times=times(1200))
    median, _ = gate.durations("", sample(100, times=times(100, 0.05)), baseline, LIMITS, "")
    assert median.verdict is Verdict.FAILED
    same = gate.durations("", sample(400, times=times(400)), baseline, LIMITS, "")
    assert [finding.verdict for finding in same] == [Verdict.SUCCESSFUL, Verdict.SUCCESSFUL]


def test_a_slow_tail_fails_with_the_same_median() -> None:
    baseline = sample(2000, times=[0.008] * 1990 + [0.04] * 10)
    tail = sample(400, times=[0.008] * 380 + [0.8] * 20)
    median, p99 = gate.durations("", tail, baseline, LIMITS, "")
    assert (median.verdict, p99.verdict) == (Verdict.SUCCESSFUL, Verdict.FAILED)


def test_durations_without_measurements_are_inconclusive() -> None:
    for finding in gate.durations("", Sample(), Sample(), LIMITS, ""):
        assert finding.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("used", "verdict"), [(110, Verdict.SUCCESSFUL), (140, Verdict.SUCCESSFUL), (180, Verdict.FAILED)]
)
def test_memory(used: int, verdict: Verdict) -> None:
    (finding,) = gate.memory({"gateway": used * 2**20}, {"gateway": 100 * 2**20}, LIMITS, "")
    assert finding.verdict is verdict


@pytest.mark.parametrize(
    ("spans", "export", "accounting"),
    [
        (Spans(ended=1000, exported=990, waiting=10), Verdict.SUCCESSFUL, Verdict.SUCCESSFUL),
        (Spans(ended=1000, exported=900, given_up=100), Verdict.FAILED, Verdict.SUCCESSFUL),
        (Spans(ended=1000, exported=500), Verdict.SUCCESSFUL, Verdict.FAILED),
        (Spans(ended=10, exported=1, given_up=9), Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE),
    ],
)
def test_spans(spans: Spans, export: Verdict, accounting: Verdict) -> None:
    assert [finding.verdict for finding in gate.spans(spans, LIMITS, "")] == [export, accounting]


@pytest.mark.parametrize(
    ("whole", "missed", "verdict"),
    [
        (20, 0, Verdict.SUCCESSFUL),
        (19, 1, Verdict.SUCCESSFUL),
        (15, 1, Verdict.INCONCLUSIVE),
        (5, 0, Verdict.INCONCLUSIVE),
        (1, 4, Verdict.FAILED),
    ],
)
def test_coverage(whole: int, missed: int, verdict: Verdict) -> None:
    assert gate.coverage(whole, ["a hop"] * missed, LIMITS, "").verdict is verdict


@pytest.mark.parametrize(
    ("verdicts", "overall", "reason"),
    [
        ((Verdict.SUCCESSFUL, Verdict.SUCCESSFUL), Verdict.SUCCESSFUL, ""),
        ((Verdict.SUCCESSFUL, Verdict.INCONCLUSIVE), Verdict.INCONCLUSIVE, "check 1: why (inconclusive)"),
        ((Verdict.INCONCLUSIVE, Verdict.FAILED, Verdict.FAILED), Verdict.FAILED, "check 1: why; check 2: why"),
    ],
)
def test_an_analysis_fails_with_one_check_and_names_it(
    verdicts: tuple[Verdict, ...], overall: Verdict, reason: str
) -> None:
    findings = [gate.problem(f"check {number}", "why", verdict) for number, verdict in enumerate(verdicts)]
    assert (gate.overall(findings), gate.reason(findings)) == (overall, reason)
