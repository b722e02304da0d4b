"""Splits what a trace store used in some runs into what each span and what each block costs."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a store used in one run: CPU time or bytes."""

    spans: int
    blocks: int
    """That the store wrote; 0 if it has none."""
    total: float


@dataclass(frozen=True, kw_only=True)
class Split:
    """In the unit of `Use.total`."""

    span: float
    block: float
    """Without its spans; 0 if no run had blocks."""


def split(uses: Sequence[Use]) -> Split:
    """Return the costs that fit best: the least squares of total - (spans x span + blocks x block).

    Args:
        uses: of runs; those with blocks differ in spans for each block.
    """
    spans = sum(use.spans**2 for use in uses)
    both = sum(use.spans * use.blocks for use in uses)
    blocks = sum(use.blocks**2 for use in uses)
    of_spans = sum(use.spans * use.total for use in uses)
    of_blocks = sum(use.blocks * use.total for use in uses)
    if not blocks:
        return Split(span=of_spans / spans, block=0)
    determinant = spans * blocks - both**2
    assert determinant, "the runs have the same number of spans for each block"
    return Split(
        span=(of_spans * blocks - of_blocks * both) / determinant,
        block=(of_blocks * spans - of_spans * both) / determinant,
    )
