"""Costs of a rate of spans, by round figures."""

import pytest

from stack.capacity.costs import Costs
from tests.unit.stack.capacity.test_sizes import FIGURES

COSTS = Costs(FIGURES)


@pytest.mark.parametrize(
    ("has_kafka", "is_one_pass", "cores"),
    [(True, False, 0.4), (True, True, 0.2), (False, False, 0.2), (False, True, 0.1)],
)
def test_collectors(has_kafka: bool, is_one_pass: bool, cores: float) -> None:
    assert COSTS.collector_cores(10_000, has_kafka=has_kafka, is_one_pass=is_one_pass) == pytest.approx(cores)


def test_what_follows_them() -> None:
    assert COSTS.sampler_cores(10_000) == pytest.approx(0.8)
    assert COSTS.broker_cores(10_000) == pytest.approx(0.1)
    assert COSTS.broker_bytes(10_000) == 1_000_000
    assert COSTS.store_cores("tempo", 10_000) == pytest.approx(0.5)
    assert COSTS.store_bytes("jaeger", 10_000) == 10_000_000
