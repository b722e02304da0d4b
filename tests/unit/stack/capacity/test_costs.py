"""Costs of a rate of spans, by round figures."""

from dataclasses import replace

import pytest

from stack.capacity.costs import BLOCKS, Costs
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


def test_a_store_has_its_spans_its_blocks_and_what_it_uses_without_load() -> None:
    costs = Costs({**FIGURES, "tempo.idle": replace(FIGURES["tempo.idle"], value=0.01)})
    # 10,000 x 50 µs, a block of 90 ms every 5 s.
    assert costs.store_cores("tempo", 10_000, 0.2) == pytest.approx(0.5 + 0.018 + 0.01)
    assert costs.store_rate("tempo", 0.528, 0.2) == pytest.approx(10_000)
    assert costs.store_rate("tempo", 0.005, 0) == 0
    assert costs.store_bytes("tempo", 10_000, 3) == 1_000_000 + 540_000
    assert costs.store_cores("jaeger", 10_000, BLOCKS["jaeger"]) == pytest.approx(1)
    assert costs.store_bytes("jaeger", 10_000, BLOCKS["jaeger"]) == 10_000_000


def test_blocks_hardly_count_in_a_stack() -> None:
    assert COSTS.store_cores("tempo", 0, BLOCKS["tempo"]) == pytest.approx(0.00005)
