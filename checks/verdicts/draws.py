"""Exact draws from distributions that Python 3.11's `random` lacks."""

from collections.abc import Sequence
from random import Random
from typing import Final

_FEW: Final = 16


def binomial(rng: Random, trials: int, share: float) -> int:
    """The number of successes of independent trials (D. A. Relles, JASA 67, 1972): splits at a drawn median."""
    successes = 0
    while trials > _FEW and 0 < share < 1:
        middle = (trials + 1) // 2
        order = rng.betavariate(middle, trials + 1 - middle)
        if order <= share:
            successes += middle
            trials -= middle
            share = (share - order) / (1 - order)
        else:
            trials = middle - 1
            share /= order
    if share <= 0:
        return successes
    random = rng.random
    for _ in range(trials):
        if random() < share:
            successes += 1
    return successes


def poisson(rng: Random, mean: float) -> int:
    """The number of events of a time (J. H. Ahrens and U. Dieter, Computing 12, 1974)."""
    events = 0
    while mean > _FEW:
        step = int(mean * 7 / 8)
        time = rng.gammavariate(step, 1)
        if time > mean:
            return events + binomial(rng, step - 1, mean / time)
        events += step
        mean -= time
    time = rng.expovariate(1)
    while time <= mean:
        events += 1
        time += rng.expovariate(1)
    return events


def split(rng: Random, total: int, shares: Sequence[float]) -> list[int]:
    """Divides a number among shares, whose sum is 1."""
    counts, left = [], 1.0
    for share in shares:
        part = binomial(rng, total, min(1.0, share / left)) if total and left > 0 else 0
        counts.append(part)
        total -= part
        left -= share
    return counts
