"""`make path`: measures some rounds of the whole path, prints the figures, and records them."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from checks.bench.path import Run, measure, queue_bytes
from checks.bench.path_servers import Store
from checks.bench.store_outage import outage
from checks.harness.collector import require_own_distribution
from stack.capacity.figures import QUANTITIES, record, this_run

_OUTAGE_RATE, _OUTAGE_SECONDS = 600.0, 12.0
_PROCESSES: Final = ("collector", "kafka", "sampler")
_IDLE: Final = {"kafka": "path.kafkaIdle", "tempo": "tempo.idle"}
"""Process → the figure of what it uses without load; the others use almost nothing."""


def figures(runs: Sequence[Run], store: Store, *, own_distribution: bool) -> dict[str, list[float]]:
    """Return the figures of these runs: name → the values of the runs."""
    names = {"collector": "path.onePass" if own_distribution else "path.collector", store: f"{store}.cpu"}
    return {
        **{
            names.get(name, f"path.{name}"): [run.usage[name].microseconds(run.spans) for run in runs]
            for name in (*_PROCESSES, store)
        },
        **{
            name: [run.usage[process].idle for run in runs]
            for process, name in _IDLE.items()
            if process in ("kafka", store)
        },
        "path.kafkaBytes": [run.kafka_bytes for run in runs],
        f"{store}.bytes": [run.store_bytes for run in runs],
    }


def show(values: Mapping[str, Sequence[float]], console: Console) -> None:
    """Print figures: the median of the rounds, the lowest and the highest."""
    table = Table(title="What a span costs on its path", title_justify="left")
    for heading in ("figure", "median", "lowest … highest", "unit"):
        table.add_column(heading, justify="left" if heading in ("figure", "unit") else "right")
    for name, rounds in values.items():
        quantity = QUANTITIES[name]
        spread = f"{min(rounds):.3g} … {max(rounds):.3g}"
        table.add_row(quantity.title, f"{median(rounds):.3g}", spread, quantity.unit)
    console.print(table)


def run(
    console: Console,
    *,
    rate: float,
    seconds: float,
    rounds: int,
    store: Store,
    own_distribution: bool = False,
    must_record: bool = False,
) -> None:
    """The command: measure some rounds, print the figures, and record them.

    Args:
        console: where the figures are printed.
        rate: spans/s.
        seconds: of load in each round.
        rounds: number of measurements.
        store: the trace store at the end of the path.
        own_distribution: whether the Collector redacts in one pass.
        must_record: whether the figures become those of the repository.

    Raises:
        UserError: a program is missing, or the spans did not arrive in time.
    """
    if own_distribution:
        require_own_distribution()
    runs: list[Run] = []
    queued: list[float] = []
    for number in range(rounds):
        runs.append(measure(rate, seconds, store, own_distribution=own_distribution))
        queued.append(queue_bytes(rate, seconds / 2))
        console.print(f"{number + 1}/{rounds}: {runs[-1].rate:,.0f} spans/s passed", style="dim")
    values = {**figures(runs, store, own_distribution=own_distribution), "path.queueBytes": queued}
    if store == "jaeger":
        values["jaeger.drain"] = [outage(_OUTAGE_RATE, _OUTAGE_SECONDS).drained for _ in range(rounds)]
    show(values, console)
    if must_record:
        record(values, this_run())
