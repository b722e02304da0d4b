"""`make path`: measures some rounds of the whole path, prints the figures, and records them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from checks.bench.path import Run, measure, queue_bytes
from checks.bench.path_servers import Store
from checks.bench.split import Use, split
from checks.bench.store_outage import outage
from checks.harness.collector import require_own_distribution
from stack.capacity.figures import QUANTITIES, record, this_run

_OUTAGE_RATE, _OUTAGE_SECONDS = 2000.0, 45.0
_SLOW: Final = 0.25
"""Rate of the slow run of a round, as a share of that of the fast one."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """Two runs, whose blocks have a different number of spans."""

    slow: Run
    fast: Run


def figures(rounds: Sequence[Round], store: Store, *, own_distribution: bool) -> dict[str, list[float]]:
    """Return the figures of these rounds: name → the values of the rounds.

    The slow run only separates the costs of the store's spans from those of its blocks.
    """
    runs = [item.fast for item in rounds]
    cpu = [split([_cpu(run, store) for run in (item.slow, item.fast)]) for item in rounds]
    disk = [split([_disk(run) for run in (item.slow, item.fast)]) for item in rounds]
    values = {
        "path.onePass" if own_distribution else "path.collector": _of_a_span(runs, "collector"),
        "path.sampler": _of_a_span(runs, "sampler"),
        "path.kafka": _of_a_span(runs, "kafka"),
        "path.kafkaIdle": [run.usage["kafka"].idle for run in runs],
        "path.kafkaBytes": [run.kafka_bytes for run in runs],
        f"{store}.idle": [run.usage[store].idle for item in rounds for run in (item.slow, item.fast)],
        f"{store}.cpu": [item.span for item in cpu],
        f"{store}.bytes": [item.span for item in disk],
    }
    if any(run.blocks for run in runs):
        values |= {
            f"{store}.blockCpu": [item.block for item in cpu],
            f"{store}.blockBytes": [item.block for item in disk],
        }
    return values


def _of_a_span(runs: Sequence[Run], process: str) -> list[float]:
    return [run.usage[process].added / run.spans for run in runs]


def _cpu(run: Run, store: Store) -> Use:
    return Use(spans=run.spans, blocks=run.blocks, total=run.usage[store].added)


def _disk(run: Run) -> Use:
    return Use(spans=run.stored.spans, blocks=run.stored.blocks, total=run.stored.total)


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
        rate: spans/s of the fast run in each round; the slow one has a quarter.
        seconds: of load in each run.
        rounds: number of measurements.
        store: the trace store at the end of the path.
        own_distribution: whether the Collector redacts in one pass.
        must_record: whether the figures become those of the repository.

    Raises:
        UserError: a program is missing, or the spans did not arrive in time.
    """
    if own_distribution:
        require_own_distribution()
    done: list[Round] = []
    queued: list[float] = []
    for number in range(rounds):
        slow, fast = (measure(share * rate, seconds, store, own_distribution=own_distribution) for share in (_SLOW, 1))
        done.append(Round(slow=slow, fast=fast))
        queued.append(queue_bytes(rate, seconds / 2))
        console.print(f"{number + 1}/{rounds}: {slow.rate:,.0f} and {fast.rate:,.0f} spans/s passed", style="dim")
    values = {**figures(done, store, own_distribution=own_distribution), "path.queueBytes": queued}
    if store == "jaeger":
        values["jaeger.drain"] = [outage(_OUTAGE_RATE, _OUTAGE_SECONDS).drained for _ in range(rounds)]
    show(values, console)
    if must_record:
        record(values, this_run())
