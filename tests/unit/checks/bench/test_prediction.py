"""A prediction is compared with what was measured, and one that is too far off fails."""

from dataclasses import replace

import pytest

from checks.bench.path import Run, Stored, Usage
from checks.bench.path_report import Round, figures
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
        "jaeger": Usage(cpu=2, seconds=20, idle=0.02),
    },
    kafka_bytes=100,
    blocks=0,
    stored=Stored(spans=12_000, blocks=0, total=6_000_000),
)


def with_tempo(spans: int, blocks: int, *, cpu: float, total: int) -> Run:
    """A run of 10 s, after which Tempo wrote blocks for 10 s."""
    usage_of_tempo = {"tempo": Usage(cpu=cpu, seconds=20, idle=0.01)}
    return replace(
        RUN,
        spans=spans,
        usage={**RUN.usage, **usage_of_tempo},
        blocks=blocks,
        stored=Stored(spans=spans, blocks=blocks, total=total),
    )


# 50 µs and 100 bytes a span, 90 ms and 180 kB a block, and 0.2 s for 20 s without load.
SLOW = with_tempo(2_000, 3, cpu=0.1 + 0.27 + 0.2, total=200_000 + 540_000)
FAST = with_tempo(10_000, 3, cpu=0.5 + 0.27 + 0.2, total=1_000_000 + 540_000)


@pytest.fixture
def rows() -> dict[str, Row]:
    return {row.what: row for row in compare(FIGURES, RUN, "jaeger")}


@pytest.mark.parametrize(
    ("what", "difference"),
    [
        ("CPU of collector", 0),
        ("CPU of kafka", 0),
        ("CPU of sampler", -0.2),
        ("CPU of jaeger", -0.5),  # 2 s of CPU, of which 10,000 x 100 µs are predicted
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
    # 1,000 of the spans still wait when it is called empty.
    assert measured.drained == 11_000 / 8 + 1000


def test_figures_are_what_each_span_adds() -> None:
    both = Round(slow=RUN, fast=RUN)
    values = figures([both], "jaeger", own_distribution=False)
    assert values["path.collector"] == [pytest.approx(40)]
    # 2 s, of which 20 s x 0.02 cores are not of the spans.
    assert values["jaeger.cpu"] == [pytest.approx(160)]
    assert values["jaeger.bytes"] == [500]
    assert values["jaeger.idle"] == [0.02, 0.02]
    assert not [name for name in values if "block" in name]
    assert "path.onePass" in figures([both], "jaeger", own_distribution=True)


def test_the_blocks_of_tempo_have_figures_of_their_own() -> None:
    values = figures([Round(slow=SLOW, fast=FAST)] * 2, "tempo", own_distribution=False)
    assert values["tempo.cpu"] == pytest.approx([50, 50])
    assert values["tempo.blockCpu"] == pytest.approx([90_000, 90_000])
    assert values["tempo.bytes"] == pytest.approx([100, 100])
    assert values["tempo.blockBytes"] == pytest.approx([180_000, 180_000])


@pytest.mark.parametrize("run", [SLOW, FAST])
def test_a_slow_run_is_predicted_as_well_as_a_fast_one(run: Run) -> None:
    measured: Figures = {**FIGURES, "tempo.idle": replace(FIGURES["tempo.idle"], value=0.01)}
    rows = {row.what: row for row in compare(measured, run, "tempo")}
    assert rows["CPU of tempo"].difference == pytest.approx(0)
    assert rows["disk of tempo"].difference == pytest.approx(0)
