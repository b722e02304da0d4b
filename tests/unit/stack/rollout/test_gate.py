"""The gate: a worse version fails, one that is as good passes, and few operations are inconclusive."""

import pytest

from stack.components.services.rollout import Gate
from stack.rollout import gate
from stack.rollout.evidence import Block, Comparison
from stack.rollout.gate import Finding, Spans, Verdict
from stack.rollout.measurements import OPERATIONS

LIMITS = Gate()


def compared(canary: tuple[int, int], baseline: tuple[int, int], looks: int = 10) -> Finding:
    """The finding after equal looks; of each version the operations and failures of one look."""
    comparison = Comparison(margin=gate.error_margin(LIMITS))
    for _ in range(looks):
        comparison.add(
            Block(canary=canary[0], canary_failures=canary[1], baseline=baseline[0], baseline_failures=baseline[1])
        )
    return gate.errors("gateway, requests", comparison, Block(canary=0, canary_failures=0), LIMITS, "")


@pytest.mark.parametrize(
    ("canary", "baseline", "verdict"),
    [
        ((100, 0), (300, 0), Verdict.SUCCESSFUL),
        ((100, 5), (300, 0), Verdict.FAILED),
        ((100, 8), (300, 0), Verdict.FAILED),
        ((4, 0), (30, 0), Verdict.INCONCLUSIVE),
        ((10, 1), (30, 3), Verdict.INCONCLUSIVE),
        ((1000, 50), (3000, 150), Verdict.SUCCESSFUL),
        ((1000, 100), (3000, 150), Verdict.FAILED),
    ],
)
def test_errors(canary: tuple[int, int], baseline: tuple[int, int], verdict: Verdict) -> None:
    assert compared(canary, baseline).verdict is verdict


def test_a_real_difference_that_does_not_matter_is_no_reason_to_go_back() -> None:
    finding = compared((20_000, 290), (20_000, 200), looks=60)
    assert finding.evidence is not None
    assert finding.evidence.worse > finding.evidence.worse_bound
    assert finding.verdict is Verdict.SUCCESSFUL


def test_a_first_failure_of_few_operations_is_no_reason_to_go_back() -> None:
    assert compared((1, 1), (300, 0), looks=5).verdict is Verdict.INCONCLUSIVE


def test_an_inconclusive_check_reports_how_many_operations_it_needs() -> None:
    finding = compared((10, 0), (30, 0))
    assert 100 < finding.missing < 2000
    assert f"about {finding.missing:,} more" in gate.reason([finding])
    assert gate.missing([finding, compared((1000, 50), (3000, 150))]) == finding.missing


def test_foreign_failures_are_judged_by_their_own_margin_and_never_waited_for() -> None:
    def check(failures: int, looks: int = 10) -> Finding:
        comparison = Comparison(margin=gate.foreign_margin(LIMITS), burst=gate.BURST)
        for _ in range(looks):
            comparison.add(Block(canary=100, canary_failures=failures, baseline=100, baseline_failures=10))
        return gate.foreign("web-crawler, pages", comparison, Block(canary=0, canary_failures=0), LIMITS, "")

    assert check(13).verdict is Verdict.SUCCESSFUL
    assert check(10, looks=1).verdict is Verdict.SUCCESSFUL
    assert check(40).verdict is Verdict.FAILED


def test_all_checks_together_use_the_budget_of_false_alarms() -> None:
    budget = gate.budget("coverage", LIMITS)
    for operation in OPERATIONS:
        for _ in operation.services:
            budget += gate.budget("foreign" if operation.is_foreign else "errors", LIMITS)
            budget += len(gate.QUANTILES) * gate.budget("durations", LIMITS) if operation.duration else 0
    assert budget == pytest.approx(LIMITS.false_alarms)


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
        (1, 4, Verdict.INCONCLUSIVE),
        (1, 6, Verdict.FAILED),
    ],
)
def test_coverage(whole: int, missed: int, verdict: Verdict) -> None:
    assert gate.coverage(whole, ["a hop"] * missed, LIMITS, 4, "").verdict is verdict


def test_probes_that_the_store_does_not_answer_are_no_evidence() -> None:
    finding = gate.coverage(0, [], LIMITS, 4, "", ["ConnectError"] * 100)
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "100 not answered by the store" in finding.canary
    assert gate.coverage(20, [], LIMITS, 4, "", ["ConnectError"] * 20).verdict is Verdict.INCONCLUSIVE
    assert gate.coverage(20, [], LIMITS, 4, "", ["ConnectError"]).verdict is Verdict.SUCCESSFUL
    assert gate.coverage(0, ["a hop"] * 50, LIMITS, 4, "", ["ConnectError"]).verdict is Verdict.FAILED


def test_the_smallest_false_alarms_have_a_verdict() -> None:
    limits = Gate(false_alarms=5e-324)
    assert gate.coverage(0, ["a hop"] * 50, limits, 20, "").verdict is Verdict.INCONCLUSIVE
    assert gate.coverage(20, [], limits, 20, "").verdict is Verdict.SUCCESSFUL


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
