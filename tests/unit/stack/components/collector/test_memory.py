"""The garbage collector and the memory limiter of a Collector agree on the memory."""

import pytest
import yaml

from collector.pipeline import OtlpTarget, Pipeline, render
from contracts.section import quantity_bytes
from stack.components.collector.memory import garbage_collection


@pytest.mark.parametrize("memory", ["256Mi", "512Mi", "1Gi"])
def test_garbage_alone_makes_the_limiter_refuse_nothing(memory: str) -> None:
    limiter = yaml.safe_load(render(Pipeline(trace_store=OtlpTarget("s:1"), metric_stores=[], queue_size=10_000)))[
        "processors"
    ]["memory_limiter"]
    refused_above = (limiter["limit_percentage"] - limiter["spike_limit_percentage"]) / 100 * quantity_bytes(memory)
    kept_below = int(garbage_collection(memory)["GOMEMLIMIT"].removesuffix("MiB")) * 2**20
    assert 0.9 * refused_above < kept_below < refused_above
