"""The draws have the distributions that they claim, compared by mean and variance, and by single probabilities."""

import math
from random import Random

import pytest

from checks.verdicts.command import upper_bound
from checks.verdicts.draws import binomial, poisson, split

NUMBER = 4000


def mean_and_variance(values: list[int]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, sum((value - mean) ** 2 for value in values) / len(values)


@pytest.mark.parametrize(("trials", "share"), [(10, 0.3), (200, 0.02), (1000, 0.4)])
def test_binomial(trials: int, share: float) -> None:
    rng = Random(1)
    values = [binomial(rng, trials, share) for _ in range(NUMBER)]
    mean, variance = mean_and_variance(values)
    assert mean == pytest.approx(trials * share, abs=4 * math.sqrt(trials * share * (1 - share) / NUMBER))
    assert variance == pytest.approx(trials * share * (1 - share), rel=0.1)
    mode = int(trials * share)
    expected = math.comb(trials, mode) * share**mode * (1 - share) ** (trials - mode)
    assert values.count(mode) / NUMBER == pytest.approx(expected, abs=4 * math.sqrt(expected / NUMBER))
    assert (binomial(rng, 0, share), binomial(rng, trials, 0.0), binomial(rng, trials, 1.0)) == (0, 0, trials)


@pytest.mark.parametrize("mean", [0.5, 20.0, 500.0])
def test_poisson(mean: float) -> None:
    rng = Random(2)
    values = [poisson(rng, mean) for _ in range(NUMBER)]
    measured, variance = mean_and_variance(values)
    assert measured == pytest.approx(mean, abs=4 * math.sqrt(mean / NUMBER))
    assert variance == pytest.approx(mean, rel=0.1)
    mode = int(mean)
    expected = math.exp(mode * math.log(mean) - mean - math.lgamma(mode + 1))
    assert values.count(mode) / NUMBER == pytest.approx(expected, abs=4 * math.sqrt(expected / NUMBER))


def test_split_divides_the_whole() -> None:
    rng = Random(3)
    counts = [split(rng, 100, (0.5, 0.3, 0.2, 0.0)) for _ in range(500)]
    assert {sum(parts) for parts in counts} == {100}
    assert [sum(column) / 500 for column in zip(*counts, strict=True)] == pytest.approx([50, 30, 20, 0], abs=1)


def test_the_bound_of_a_share_is_that_of_clopper_and_pearson() -> None:
    assert upper_bound(0, 299) == pytest.approx(1 - 0.05 ** (1 / 299))
    assert upper_bound(1, 20) == pytest.approx(0.2161, abs=1e-4)
