"""`make prediction`: what the plan's formulas predict for a rate of spans, compared with real servers at that rate.

The figures come from other runs, at another rate. A process is compared by its cores, a disk by its bytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rich.console import Console
from rich.table import Table

from checks.bench.path import Run, measure, queue_bytes
from checks.bench.path_load import SPANS_A_BATCH
from checks.bench.path_servers import Store
from checks.bench.store_outage import Outage, outage
from stack.capacity.costs import Costs
from stack.capacity.figures import Figures, in_digits, load, this_run
from stack.capacity.page import PAGE, with_part
from stack.capacity.simulation import Model, simulate

Part = Literal["path", "outage"]
RATES: Final = (400, 1200, 3600)
"""Spans/s; the figures are recorded at 2,000, and at 500."""
WITHIN: Final = 0.3
"""Largest difference, as a share of what was measured."""
_OUTAGES: Final = ((1200, 75), (2500, 40))
"""Spans/s, and seconds without the store; the figure is recorded at 2,000. So many spans wait that a
queue needs several seconds to empty; the simulation has steps of one."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison."""

    rate: float
    """Spans/s that passed."""
    what: str
    predicted: float
    measured: float
    unit: str

    @property
    def difference(self) -> float:
        """Of the prediction, as a share of what was measured."""
        return self.predicted / self.measured - 1

    @property
    def is_good(self) -> bool:
        """Whether the prediction is close enough."""
        return abs(self.difference) <= WITHIN


def compare(figures: Figures, run: Run, store: Store) -> Iterator[Row]:
    """Yield the comparisons of one run of the whole path."""
    costs, usage = Costs(figures), run.usage[store]
    predicted = {
        "collector": costs.collector_cores(run.rate, has_kafka=True, is_one_pass=False),
        "kafka": costs.broker_cores(run.rate),
        "sampler": costs.sampler_cores(run.rate),
        # Measured until it has nothing left to do with the spans.
        store: costs.store_cores(store, run.spans / usage.seconds, run.blocks / usage.seconds),
    }
    for process, cores in predicted.items():
        measured = run.usage[process].cores
        yield Row(rate=run.rate, what=f"CPU of {process}", predicted=cores, measured=measured, unit="cores")
    yield Row(
        rate=run.rate,
        what="Kafka's log",
        predicted=costs.broker_bytes(run.spans) / 1000,
        measured=run.kafka_bytes * run.spans / 1000,
        unit="kB",
    )
    yield Row(
        rate=run.rate,
        what=f"disk of {store}",
        predicted=costs.store_bytes(store, run.stored.spans, run.stored.blocks) / 1000,
        measured=run.stored.total / 1000,
        unit="kB",
    )


def compare_queue(figures: Figures, rate: float, seconds: float) -> Row:
    """Compare the queue of a Collector that cannot send."""
    spans = max(1, round(rate * seconds / SPANS_A_BATCH)) * SPANS_A_BATCH
    return Row(
        rate=rate,
        what="queue of a Collector",
        predicted=Costs(figures).queue_bytes(spans) / 1000,
        measured=queue_bytes(rate, seconds) * spans / 1000,
        unit="kB",
    )


def compare_outage(figures: Figures, measured: Outage, seconds: float) -> Iterator[Row]:
    """Compare an outage with the simulation, in which a store that is back takes spans at once."""
    model = Model(
        arriving=measured.rate,
        collector_rate=1e9,
        collector_queue=1e9,
        store_rate=figures["jaeger.drain"].value,
    )
    result = simulate(model, outage_seconds=round(seconds + measured.reconnect_seconds))
    yield Row(
        rate=measured.rate,
        what=f"waiting after {seconds:g} s",
        predicted=result.most("collectors"),
        measured=measured.waiting,
        unit="spans",
    )
    yield Row(
        rate=measured.rate,
        what="queue empty after",
        predicted=result.recovery_seconds or float("inf"),
        measured=measured.empty_seconds,
        unit="s",
    )


def table(rows: Sequence[Row], source: str) -> list[str]:
    """Return the comparisons as a table in Markdown; `source` has the date and the machine."""
    lines = ["| spans/s | what | predicted | measured | difference |", "|---|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| {row.rate:,.0f} | {row.what} | {in_digits(row.predicted)} {row.unit} "
            f"| {in_digits(row.measured)} {row.unit} | {row.difference:+.0%} |"
        )
    good = sum(row.is_good for row in rows)
    return [*lines, "", f"{good} of {len(rows)} are within {WITHIN:.0%}. Measured on {source}."]


def run(console: Console, *, store: Store, seconds: float, parts: Sequence[Part], must_record: bool) -> bool:
    """The command: measure, print the comparisons, and write them into docs/capacity.md.

    Args:
        console: where they are printed.
        store: the trace store at the end of the path.
        seconds: of load at each rate.
        parts: what is compared.
        must_record: whether the page gets the tables.

    Returns:
        Whether each prediction is close enough.

    Raises:
        UserError: a program or a figure is missing, or the spans did not arrive in time.
    """
    figures, source, is_good = load(), this_run(), True
    for part in parts:
        rows = _outages(figures) if part == "outage" else _rates(figures, store, seconds, console)
        _show(rows, console)
        if must_record:
            name = "outage" if part == "outage" else f"path {store}"
            lines = table(rows, f"{source.date}, {source.machine}")
            PAGE.write_text(with_part(PAGE.read_text(), name, lines))
        is_good = is_good and all(row.is_good for row in rows)
    return is_good


def _rates(figures: Figures, store: Store, seconds: float, console: Console) -> list[Row]:
    rows: list[Row] = []
    for rate in RATES:
        rows += compare(figures, measure(rate, seconds, store), store)
        rows.append(compare_queue(figures, rate, seconds / 2))
        console.print(f"{rate:,.0f} spans/s measured", style="dim")
    return rows


def _outages(figures: Figures) -> list[Row]:
    return [row for rate, seconds in _OUTAGES for row in compare_outage(figures, outage(rate, seconds), seconds)]


def _show(rows: Sequence[Row], console: Console) -> None:
    shown = Table(title="Predicted and measured", title_justify="left")
    for heading in ("spans/s", "what", "predicted", "measured", "unit", "difference"):
        shown.add_column(heading, justify="left" if heading in ("what", "unit") else "right")
    for row in rows:
        difference = f"{row.difference:+.0%}" if row.is_good else f"[bold red]{row.difference:+.0%}[/]"
        cells = (in_digits(row.predicted), in_digits(row.measured), row.unit)
        shown.add_row(f"{row.rate:,.0f}", row.what, *cells, difference)
    console.print(shown)
