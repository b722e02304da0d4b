"""`make chaos`: a load with a ledger of its acknowledgements, faults, then a look-up of every acknowledged span."""

import json
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from checks.chaos.cluster import LocalCluster
from checks.chaos.deployment import with_settings
from checks.chaos.faults import FAULTS
from checks.chaos.plan import full
from checks.chaos.requests import SPANS
from checks.chaos.run import Result, Run, Step
from contracts.errors import UserError

DIRECTORY = Path(".local/chaos")


def report(result: Result, console: Console) -> None:
    """Prints the result for the spans, and the recovery from each kind of fault."""
    table = Table(title="Faults", title_justify="left")
    for heading in ("fault", "times", "lasted", "most spans queued", "recovered after, median / longest"):
        table.add_column(heading, justify="left" if heading == "fault" else "right")
    for fault, times in Counter(item.fault for item in result.survived).items():
        own = [item for item in result.survived if item.fault == fault]
        recovery = [item.recovery_seconds for item in own]
        table.add_row(
            fault,
            str(times),
            f"{median(item.seconds for item in own):.0f} s",
            f"{max(item.queued for item in own):,.0f}",
            f"{median(recovery):.1f} / {max(recovery):.1f} s",
        )
    console.print(table)
    verdict = result.verdict
    errors = ", ".join(f"{code} {count}" for code, count in sorted(result.errors.items())) or "none"
    console.print(
        f"{verdict.acknowledged:,} spans acknowledged, {verdict.stored:,} of them in the store: "
        f"[bold {'red' if verdict.lost else 'green'}]{len(verdict.lost):,} lost[/]; {verdict.duplicates:,} "
        f"stored more than once, {verdict.foreign:,} that were never sent\n"
        f"{result.resent:,} requests were sent again ({errors}); load {result.load_seconds:.0f} s, "
        f"look-up {result.verify_seconds:.0f} s; seed {result.seed}"
    )
    for name in verdict.lost[:5]:
        console.print(f"lost: {name}")


def chaos(
    console: Console,
    *,
    spans: int = 1_000_000,
    rate: float = 800,
    collectors: int = 3,
    kills: int = 20,
    unavailable_seconds: float = 600,
    faults: Sequence[str] = (),
    seed: int | None = None,
) -> Result:
    """Injects faults into the local stack under load, and looks up every acknowledged span.

    Args:
        console: where progress and the result are printed.
        spans: how many must be acknowledged.
        rate: spans per second.
        collectors: the number of Collectors.
        kills: how often a Collector is killed.
        unavailable_seconds: how long the trace store is stopped.
        faults: only these, in this order, as `NAME` or `NAME=SECONDS`.
        seed: decides the order of the faults and the Collectors that are hit; random by default.

    Raises:
        UserError: a fault is unknown, or the stack cannot be reached or does not recover.
    """
    seed = seed if seed is not None else secrets.randbelow(10_000)
    steps = _parse(faults) if faults else full(seed, kills=kills, unavailable_seconds=unavailable_seconds)
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    ledger = DIRECTORY / f"{time.strftime('%Y%m%d-%H%M%S')}.ledger"
    console.print(f"seed {seed}, {len(steps)} faults, ledger {ledger}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        with_settings("local", {"collector": {"replicas": collectors}}, lambda line: None) as settings,
        Progress(*columns, console=console, transient=True) as progress,
    ):
        acknowledged = progress.add_task("spans acknowledged", total=spans)
        looked_up = progress.add_task("traces looked up", total=-(-spans // SPANS))
        result = Run(
            cluster=LocalCluster(settings),
            ledger=ledger,
            steps=steps,
            spans=spans,
            rate=rate,
            seed=seed,
            on_progress=console.print,
            on_acknowledged=lambda count: progress.update(acknowledged, completed=count),
            on_looked_up=lambda count: progress.update(looked_up, completed=count),
        ).run()
    report(result, console)
    ledger.with_suffix(".json").write_text(json.dumps(asdict(result), indent=1))
    return result


def _parse(faults: Sequence[str]) -> list[Step]:
    steps = []
    for text in faults:
        name, _, seconds = text.partition("=")
        if name not in FAULTS:
            raise UserError(f"there is no fault {name!r}; the faults are {', '.join(FAULTS)}")
        steps.append(Step(fault=name, seconds=float(seconds or 30)))
    return steps
