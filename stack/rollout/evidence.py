"""Evidence about two versions that may be looked at any time: e-processes of two shares, for example of failures.

An e-process is never negative, and has an expectation of at most 1 at every moment if the null hypothesis is true. So
it exceeds 1/a with a probability of at most a, over all looks together (Ville's inequality): a caller that looks
every few seconds, and stops at the first look that decides, keeps the promised error rate. See A. Ramdas, P. Grünwald,
V. Vovk and G. Shafer, Game-theoretic statistics and safe anytime-valid inference, Statistical Science 38, 2023.

The counts between two looks are a block. The process is a product over the blocks, so both shares may change from one
block to the next, as the traffic of a day does.

- **Worse.** Null hypothesis: the canary's share is at most the baseline's. Given the failures of both versions in a
  block, those of the canary are hypergeometric or smaller, for any share of failures in that block. Their generating
  function is at most that of a binomial with the same mean (W. Hoeffding, JASA 58, 1963, theorem 4), which makes the
  e-variable a formula. It is a mixture over odds ratios.
- **Within the margin.** Null hypothesis: the canary's share exceeds the baseline's by the margin or more, a convex set.
  The e-variable is the likelihood ratio of equal shares, estimated from earlier blocks, to the nearest point of that
  set: R. Turner, A. Ly and P. Grünwald, Generic E-variables for exact sequential k-sample tests that allow for optional
  stopping, J. Statistical Planning and Inference 230, 2024; for convex sets R. Turner and P. Grünwald, Exact
  anytime-valid confidence intervals for contingency tables and beyond, Statistics & Probability Letters 198, 2023.

Both are mixtures over the block at which the process begins, so that a change during the rollout is noticed too.

No library: `safestats` (LGPL) is for R; `confseq` and `ville` compare means of values in a range, without a margin that
depends on the baseline's share, and need NumPy.
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Final

_ODDS: Final = ((1.5, 0.15), (2.0, 0.3), (3.0, 0.2), (5.0, 0.15), (12.0, 0.1), (50.0, 0.1))
"""Odds ratio of canary to baseline, and its weight in the mixture."""
_AT_ONCE: Final = 0.8
"""The weight of a process that begins with the first block; the others share the rest."""
_PRIOR_FAILURES, _PRIOR_OPERATIONS = 0.5, 50.0
"""Added to the counts from which the common share is estimated, so that the first failure is no surprise."""
_BISECTIONS: Final = 25
_LARGEST_ALLOWED: Final = 0.999
_LARGEST_SHARE: Final = 1 - 1e-12
"""A share of 1 has no likelihood ratio, and rounding makes one of very many failures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Operations of both versions between two looks."""

    canary: int
    canary_failures: int
    baseline: int = 0
    baseline_failures: int = 0

    def __add__(self, other: "Block") -> "Block":
        return Block(
            canary=self.canary + other.canary,
            canary_failures=self.canary_failures + other.canary_failures,
            baseline=self.baseline + other.baseline,
            baseline_failures=self.baseline_failures + other.baseline_failures,
        )

    def __sub__(self, other: "Block") -> "Block":
        return Block(
            canary=self.canary - other.canary,
            canary_failures=self.canary_failures - other.canary_failures,
            baseline=self.baseline - other.baseline,
            baseline_failures=self.baseline_failures - other.baseline_failures,
        )

    @property
    def is_valid(self) -> bool:
        """Whether both versions have no more failures than operations."""
        return 0 <= self.canary_failures <= self.canary and 0 <= self.baseline_failures <= self.baseline

    @property
    def shares(self) -> tuple[float, float]:
        """The shares of failures, of canary and baseline; 0 without operations."""
        return (
            self.canary_failures / self.canary if self.canary else 0.0,
            self.baseline_failures / self.baseline if self.baseline else 0.0,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Margin:
    """How much larger the canary's share may be: the larger of an absolute and a relative margin."""

    absolute: float
    factor: float = 1.0

    def allowed(self, share: float) -> float:
        """The largest share of the canary for a share of the baseline."""
        return min(max(share + self.absolute, share * self.factor), _LARGEST_ALLOWED)


@dataclass(kw_only=True)
class _Process:
    """The logarithm of an e-process that begins, with some weight, at each block."""

    logarithm: float = -math.inf
    """Of those that have begun."""
    blocks: int = 0

    def multiply(self, factor: float) -> None:
        """factor: the logarithm of the block's e-variable."""
        number = self.blocks
        weight = (1 - _AT_ONCE) / (number * (number + 1)) if number else _AT_ONCE
        self.logarithm = _add(self.logarithm, math.log(weight)) + factor
        self.blocks += 1

    @property
    def value(self) -> float:
        """The logarithm of the process; those that have not begun are 1."""
        return _add(self.logarithm, math.log((1 - _AT_ONCE) / self.blocks)) if self.blocks else 0.0


@dataclass(kw_only=True)
class Comparison:
    """The evidence about one share, for example that of failed requests, over a whole rollout."""

    margin: Margin
    burst: int = 1
    """That many failures in a row may have one cause, so they count as one: an e-variable to the power of 1/n is an
    e-variable of n operations that fail together."""
    total: Block = field(default_factory=lambda: Block(canary=0, canary_failures=0))
    _worse: list[_Process] = field(default_factory=lambda: [_Process() for _ in _ODDS])
    _within: _Process = field(default_factory=_Process)

    def add(self, block: Block) -> None:
        """Takes the next block. Without operations of both versions, nothing is compared."""
        if block.canary and block.baseline:
            if block.canary_failures or block.baseline_failures:
                for (odds, _), process in zip(_ODDS, self._worse, strict=True):
                    process.multiply(_log_worse(block, odds) / self.burst)
            if self.total.canary + self.total.baseline:
                self._within.multiply(self._log_within(block))
        self.total += block

    @property
    def worse(self) -> float:
        """Logarithm of the evidence that the canary's share is larger than the baseline's."""
        terms = [process.value + math.log(weight) for (_, weight), process in zip(_ODDS, self._worse, strict=True)]
        largest = max(terms)
        return largest + math.log(sum(math.exp(term - largest) for term in terms))

    @property
    def within(self) -> float:
        """Logarithm of the evidence that the canary's share exceeds the baseline's by less than the margin."""
        return self._within.value

    def exceeds(self, part: float, *stage: Block) -> bool:
        """Whether the measured excess is at least a part of the margin, over the rollout or in one of other blocks."""
        return any(self._excess(block, part) >= 0 for block in (self.total, *stage))

    def missing(self, threshold: float) -> int:
        """About how many more operations of the canary show that it is within the margin, if it is as good.

        Args:
            threshold: logarithm of the evidence that is enough.
        """
        left = threshold - self.within
        if left <= 0:
            return 0
        canary = max(self.total.canary, 1)
        baseline = self.total.baseline or canary
        share = self._common_share()
        edge, other = _nearest(share, canary, baseline, self.margin)
        gain = _divergence(share, edge) + baseline / canary * _divergence(share, other)
        return math.ceil(left / gain) if gain > 0 else 0

    def dump(self) -> dict[str, Any]:
        """The state as JSON."""
        processes = [[process.logarithm, process.blocks] for process in (*self._worse, self._within) if process.blocks]
        begun = [bool(process.blocks) for process in (*self._worse, self._within)]
        return {"total": asdict(self.total), "begun": begun, "processes": processes}

    def load(self, state: dict[str, Any]) -> None:
        """Takes over a state that `dump` returned."""
        self.total = Block(**state["total"])
        processes = iter(state["processes"])
        for process, has_begun in zip((*self._worse, self._within), state["begun"], strict=True):
            if has_begun:
                process.logarithm, process.blocks = next(processes)

    def _excess(self, block: Block, part: float) -> float:
        """The canary's share above that of the baseline and a part of the margin."""
        canary, baseline = block.shares
        return canary - baseline - part * (self.margin.allowed(baseline) - baseline)

    def _common_share(self) -> float:
        failures = self.total.canary_failures + self.total.baseline_failures
        operations = self.total.canary + self.total.baseline
        return min((failures + _PRIOR_FAILURES) / (operations + _PRIOR_OPERATIONS), _LARGEST_SHARE)

    def _log_within(self, block: Block) -> float:
        share = self._common_share()
        edge, other = _nearest(share, block.canary, block.baseline, self.margin)
        return _log_ratio(block.canary_failures, block.canary, share, edge) + _log_ratio(
            block.baseline_failures, block.baseline, share, other
        )


def log_above(failures: int, operations: int, limit: float) -> float:
    """Logarithm of the evidence that a share is larger than a limit, after independent operations."""
    terms = [
        failures * math.log(odds) - operations * math.log1p(limit * (odds - 1)) + math.log(weight)
        for odds, weight in _ODDS
    ]
    largest = max(terms)
    return largest + math.log(sum(math.exp(term - largest) for term in terms))


def _log_worse(block: Block, odds: float) -> float:
    gain = odds - 1
    operations = block.canary + block.baseline
    failures = block.canary_failures + block.baseline_failures
    bound = min(
        failures * math.log1p(gain * block.canary / operations),
        block.canary * math.log1p(gain * failures / operations),
    )
    return block.canary_failures * math.log(odds) - bound


def _nearest(share: float, canary: int, baseline: int, margin: Margin) -> tuple[float, float]:
    """The point (canary's share, baseline's share) beyond the margin that is the nearest to equal shares.

    The distance is the Kullback-Leibler divergence of the block. On the edge of the set it is convex in the baseline's
    share, so its derivative has one root.
    """
    low, high = 0.0, share
    absolute, factor = margin.absolute, margin.factor
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        # `Margin.allowed` and its derivative, without the calls: this loop is most of what a look computes.
        added, multiplied = middle + absolute, middle * factor
        edge, slope = (added, 1.0) if added >= multiplied else (multiplied, factor)
        if edge > _LARGEST_ALLOWED:
            edge = _LARGEST_ALLOWED
        if (
            edge < share
            or canary * slope * (edge - share) / (edge * (1 - edge))
            + baseline * (middle - share) / (middle * (1 - middle))
            < 0
        ):
            low = middle
        else:
            high = middle
    return margin.allowed(high), high


def _log_ratio(failures: int, operations: int, share: float, null: float) -> float:
    return failures * math.log(share / null) + (operations - failures) * (math.log1p(-share) - math.log1p(-null))


def _divergence(share: float, other: float) -> float:
    return share * math.log(share / other) + (1 - share) * (math.log1p(-share) - math.log1p(-other))


def _add(one: float, other: float) -> float:
    """log(exp(one) + exp(other))"""
    if one < other:
        one, other = other, one
    return one + math.log1p(math.exp(other - one)) if other > -math.inf else one
