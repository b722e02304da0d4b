"""A short run of faults on the local stack, after which every acknowledged span is in the store."""

import os
from pathlib import Path

from checks.chaos.cluster import LocalCluster
from checks.chaos.deployment import with_settings
from checks.chaos.run import Run, Step
from contracts import endpoints
from stack.settings import load


def test_no_acknowledged_span_is_lost(tmp_path: Path) -> None:
    lines: list[str] = []
    with with_settings("local", {"collector": {"replicas": 2}}, lines.append) as settings:
        steps = [
            Step(fault="kill-collector"),
            Step(fault="rolling-restart"),
            Step(fault="disk-full", seconds=5),
            *([Step(fault="kill-store")] if settings.traces.durable else []),
            Step(fault="kill-collector"),
        ]
        result = Run(
            cluster=LocalCluster(settings),
            ledger=tmp_path / f"{os.urandom(4).hex()}.ledger",
            steps=steps,
            spans=30_000,
            rate=600,
            seed=1,
            on_progress=lines.append,
        ).run()
    assert result.verdict.lost == [], lines
    assert result.verdict.acknowledged == result.sent == 30_000
    assert [item.fault for item in result.survived] == [step.fault for step in steps]
    LocalCluster(load("local")).wait_ready(endpoints.COLLECTOR, 1)  # the stack is as it was
