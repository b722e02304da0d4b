"""What a store used is split into costs of a span and of a block."""

import pytest

from checks.bench.split import Split, Use, split


def use(spans: int, blocks: int, total: float) -> Use:
    """What one run used."""
    return Use(spans=spans, blocks=blocks, total=total)


def test_two_runs_have_one_solution() -> None:
    # 3 for a span, 50 for a block.
    costs = split([use(10, 2, 130), use(100, 4, 500)])
    assert (costs.span, costs.block) == pytest.approx((3, 50))


def test_more_runs_are_averaged() -> None:
    exact = [use(10, 2, 130), use(100, 2, 400)]
    noisy = [use(item.spans, item.blocks, item.total + error) for item in exact for error in (-10, 10)]
    costs = split(noisy)
    assert (costs.span, costs.block) == pytest.approx((3, 50))


def test_a_store_without_blocks_has_spans_alone() -> None:
    assert split([use(10, 0, 30), use(100, 0, 300)]) == Split(span=3, block=0)


def test_runs_with_equal_blocks_are_refused() -> None:
    with pytest.raises(AssertionError, match="the same number of spans for each block"):
        split([use(10, 1, 60), use(20, 2, 120)])
