"""Faults on the local stack, after which every acknowledged span is in the store."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from checks.chaos.cluster import LocalCluster
from checks.chaos.deployment import with_settings
from checks.chaos.faults import FAULTS
from checks.chaos.run import Run, Step
from contracts import endpoints
from stack.settings import Settings, load

RATE = 600
"""Spans per second."""
_OF_THE_STORE = ("kill-store", "store-unavailable")


def assert_nothing_is_lost(settings: Settings, steps: Sequence[Step], spans: int, ledger: Path) -> None:
    lines: list[str] = []
    if not settings.traces.durable:
        steps = [step for step in steps if step.fault not in _OF_THE_STORE]
    result = Run(
        cluster=LocalCluster(settings),
        ledger=ledger / f"{os.urandom(4).hex()}.ledger",
        steps=steps,
        spans=spans,
        rate=RATE,
        seed=1,
        on_progress=lines.append,
    ).run()
    assert result.verdict.lost == [], lines
    assert result.verdict.acknowledged == result.sent == spans
    assert [item.fault for item in result.survived] == [step.fault for step in steps]


def test_no_acknowledged_span_is_lost(tmp_path: Path) -> None:
    """With one Collector, for which no other one takes over."""
    steps = [Step(fault="disk-full", seconds=5), Step(fault="kill-store"), Step(fault="kill-collector")]
    assert_nothing_is_lost(load("local"), steps, 12_000, tmp_path)


@pytest.mark.nightly
def test_no_acknowledged_span_is_lost_in_any_fault(tmp_path: Path) -> None:
    """Every kind of fault with two Collectors, one of which is killed again after the other faults."""
    steps = [*(Step(fault=fault, seconds=5) for fault in FAULTS), Step(fault="kill-collector")]
    with with_settings("local", {"collector": {"replicas": 2}}, print) as settings:
        assert_nothing_is_lost(settings, steps, 60_000, tmp_path)
    LocalCluster(load("local")).wait_ready(endpoints.COLLECTOR, 1)  # the stack is as it was
