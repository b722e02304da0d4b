"""A prediction is compared with what was measured, and one that is too far off fails."""

from dataclasses import replace

import pytest

from checks.bench.path import Run, Usage
from checks.bench.path_report import figures
from checks.bench.prediction import Row, compare, compare_outage, table
from checks.bench.store_outage import Outage
from stack.capacity.figures import Figures
from tests.unit.stack.capacity.test_sizes import FIGURES


def usage(cores: float, seconds: float = 10, idle: float = 0) -> Usage:
    """What a process used in so many seconds."""
    return Usage(cpu=cores * seconds, seconds=seconds, idle=idle)


# 1,000 spans/s, for which FIGURES predict 0.04, 0.01, 0.08 and 0.1 cores, and 100 and 1,000 bytes a span.
RUN = Run(
    spans=10_000,
    seconds=10,
    usage={
        "collector": usage(0.04),
        "kafka": usage(0.01),
        "sampler": usage(0.1),
        "jaeger": Usage(cpu=2, seconds=15, idle=0.02),
    },
    kafka_bytes=100,
    store_bytes=500,
)


@pytest.fixture
def rows() -> dict[str, Row]:
    return {row.what: row for row in compare(FIGURES, RUN, "jaeger")}


@pytest.mark.parametrize(
    ("what", "difference"),
    [
        ("CPU of collector", 0),
        ("CPU of kafka", 0),
        ("CPU of sampler", -0.2),
        ("CPU of jaeger", -0.5),  # 2 s of CPU for the spans of 10 s
        ("Kafka's log", 0),
        ("disk of jaeger", 1),
    ],
)
def test_each_process_and_disk_is_compared(rows: dict[str, Row], what: str, difference: float) -> None:
    assert rows[what].difference == pytest.approx(difference)
    assert rows[what].is_good == (abs(difference) <= 0.3)


def test_the_table_counts_what_is_close_enough(rows: dict[str, Row]) -> None:
    lines = table([*rows.values()], "2026-01-01, a machine")
    assert "| 1,000 | CPU of sampler | 0.08 cores | 0.1 cores | -20% |" in lines
    assert lines[-1] == "4 of 6 are within 30%. Measured on 2026-01-01, a machine."


def test_an_outage_is_compared_with_the_simulation() -> None:
    fast: Figures = {**FIGURES, "jaeger.drain": replace(FIGURES["jaeger.drain"], value=3000)}
    # 12 s x 1,000 spans/s wait when it is reconnected; they are gone in 12,000 / (3,000 - 1,000) s.
    measured = Outage(waiting=12_000, reconnect_seconds=2, empty_seconds=8, rate=1000)
    waiting, empty = compare_outage(fast, measured, 10)
    assert waiting.difference == pytest.approx(0, abs=0.1)
    assert empty.predicted == pytest.approx(6, abs=1)
    assert measured.drained == 12_000 / 8 + 1000


def test_figures_are_what_each_span_adds() -> None:
    values = figures([RUN], "jaeger", own_distribution=False)
    assert values["path.collector"] == [pytest.approx(40)]
    # 2 s, of which 15 s x 0.02 cores are not of the spans.
    assert values["jaeger.cpu"] == [pytest.approx(170)]
    assert values["jaeger.bytes"] == [500]
    assert "path.onePass" in figures([RUN], "jaeger", own_distribution=True)
