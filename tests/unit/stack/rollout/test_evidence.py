"""E-variables have an expectation of at most 1 under their null hypothesis: computed exactly, over all outcomes."""

import itertools
import math
from collections.abc import Callable
from random import Random

import pytest

from checks.verdicts.draws import binomial
from stack.rollout import evidence
from stack.rollout.evidence import Block, Comparison, Margin

MARGIN = Margin(absolute=0.05, factor=1.5)
SHARES = (0.0, 0.02, 0.1, 0.3, 0.7, 1.0)
SIZES = [(1, 1), (3, 1), (2, 7), (6, 6), (12, 3)]


def probability(failures: int, operations: int, share: float) -> float:
    return math.comb(operations, failures) * share**failures * (1 - share) ** (operations - failures)


def expectation(canary: int, baseline: int, share: float, usual: float, value: Callable[[Block], float]) -> float:
    """The expectation of an e-variable after one block."""
    return sum(
        probability(failures, canary, share)
        * probability(others, baseline, usual)
        * value(
            Block(canary=canary, canary_failures=failures, baseline=baseline, baseline_failures=others),
        )
        for failures, others in itertools.product(range(canary + 1), range(baseline + 1))
    )


@pytest.mark.parametrize(("canary", "baseline"), SIZES)
def test_worse_is_an_e_variable_for_a_canary_that_is_not_worse(canary: int, baseline: int) -> None:
    def worse(block: Block) -> float:
        comparison = Comparison(margin=MARGIN)
        comparison.add(block)
        return math.exp(comparison.worse)

    for share, usual in itertools.product(SHARES, SHARES):
        value = expectation(canary, baseline, share, usual, worse)
        if share <= usual:
            assert value <= 1 + 1e-9, (share, usual)
    assert expectation(12, 12, 0.7, 0.1, worse) > 2, "it grows if the canary is worse"


@pytest.mark.parametrize(("canary", "baseline"), SIZES)
def test_within_is_an_e_variable_for_a_canary_beyond_the_margin(canary: int, baseline: int) -> None:
    for past_failures in (0, 5, 20):
        past = Block(canary=20, canary_failures=past_failures, baseline=20, baseline_failures=past_failures)

        def within(block: Block, past: Block = past) -> float:
            comparison = Comparison(margin=MARGIN)
            comparison.add(past)
            comparison.add(block)
            return math.exp(comparison.within)

        for usual in (0.0, 0.02, 0.1, 0.3, 0.6):
            for excess in (0.0, 0.05, 0.2):
                share = min(1.0, MARGIN.allowed(usual) + excess)
                assert expectation(canary, baseline, share, usual, within) <= 1 + 1e-9, (share, usual)


def test_operations_that_fail_together_count_as_one() -> None:
    """Each of the canary's four operations fails, or none: still an e-variable."""

    def value(is_failed: bool, is_other_failed: bool) -> float:
        comparison = Comparison(margin=MARGIN, burst=4)
        comparison.add(
            Block(canary=4, canary_failures=4 * is_failed, baseline=4, baseline_failures=4 * is_other_failed)
        )
        return math.exp(comparison.worse)

    for share in SHARES:
        total = sum(
            (share if one else 1 - share) * (share if other else 1 - share) * value(one, other)
            for one, other in itertools.product((False, True), repeat=2)
        )
        assert total <= 1 + 1e-9


def run(rng: Random, share: float, usual: float, looks: int, comparison: Comparison) -> Comparison:
    for _ in range(looks):
        comparison.add(
            Block(
                canary=100,
                canary_failures=binomial(rng, 100, share),
                baseline=300,
                baseline_failures=binomial(rng, 300, usual),
            )
        )
    return comparison


@pytest.mark.parametrize(("share", "usual"), [(0.02, 0.0), (0.05, 0.02), (0.2, 0.1), (0.4, 0.2)])
def test_twice_the_failures_are_evident_after_some_looks(share: float, usual: float) -> None:
    rng = Random(3)
    comparisons = [run(rng, share, usual, 20, Comparison(margin=Margin(absolute=0.01, factor=1.5))) for _ in range(40)]
    assert sum(comparison.worse > math.log(500) and comparison.exceeds(0.5) for comparison in comparisons) >= 38


def test_the_number_of_missing_operations_is_about_right() -> None:
    rng, threshold = Random(4), -math.log(0.03)
    ratios = []
    for _ in range(40):
        comparison = run(rng, 0.03, 0.03, 4, Comparison(margin=Margin(absolute=0.01, factor=1.5)))
        predicted = comparison.missing(threshold)
        start = comparison.total.canary
        while comparison.within < threshold:
            run(rng, 0.03, 0.03, 1, comparison)
        ratios.append((comparison.total.canary - start) / predicted)
    assert 0.5 < sorted(ratios)[20] < 2
    assert comparison.missing(threshold) == 0


def test_a_change_after_a_long_time_is_noticed() -> None:
    comparison = run(Random(5), 0.01, 0.01, 400, Comparison(margin=Margin(absolute=0.01, factor=1.5)))
    assert comparison.worse < math.log(10)
    looks = 0
    while comparison.worse < math.log(500):
        run(Random(6 + looks), 0.2, 0.01, 1, comparison)
        looks += 1
    assert looks <= 4


def test_a_later_run_continues_with_the_evidence() -> None:
    comparison = run(Random(7), 0.02, 0.01, 10, Comparison(margin=MARGIN))
    other = Comparison(margin=MARGIN)
    other.load(comparison.dump())
    assert (other.worse, other.within, other.total) == (comparison.worse, comparison.within, comparison.total)
    empty = Comparison(margin=MARGIN)
    empty.load(Comparison(margin=MARGIN).dump())
    assert (empty.worse, empty.within) == pytest.approx((0.0, 0.0))


def test_one_share_above_a_limit() -> None:
    for share in (0.01, 0.05):
        mean = sum(
            probability(failures, 20, share) * math.exp(evidence.log_above(failures, 20, 0.05))
            for failures in range(21)
        )
        assert mean <= 1 + 1e-9
    assert evidence.log_above(10, 20, 0.05) > math.log(1000)


def test_very_many_operations_that_all_fail_have_a_verdict() -> None:
    comparison = Comparison(margin=Margin(absolute=0.01, factor=1.5))
    failing = Block(canary=10**18, canary_failures=10**18, baseline=10**18, baseline_failures=10**18)
    for _ in range(2):
        comparison.add(failing)
    assert math.isfinite(comparison.worse)
    assert math.isfinite(comparison.within)
    assert comparison.missing(comparison.within + 1) >= 0
