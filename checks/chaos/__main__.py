"""`make chaos`: a load whose acknowledgements go into a ledger, faults, then a look-up of every acknowledged span."""

import argparse
import json
import secrets
import signal
import sys
import time
from collections import Counter
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
from stack.errors import DeployError
from stack.polling import CheckFailure
from stack.settings import SettingsError

DIRECTORY = Path(".local/chaos")


def report(result: Result, console: Console) -> None:
    """Prints what became of the spans, and what each kind of fault cost."""
    table = Table(title="Faults", title_justify="left")
    for heading in ("fault", "times", "lasted", "spans queued then, most", "recovered after, median / longest"):
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
        f"{verdict.acknowledged:,} spans acknowledged, {verdict.found:,} of them in the store: "
        f"[bold {'red' if verdict.lost else 'green'}]{len(verdict.lost):,} lost[/]; {verdict.duplicates:,} there "
        f"more than once, {verdict.foreign:,} that nobody sent\n"
        f"{result.resent:,} requests were sent again ({errors}); load {result.load_seconds:.0f} s, "
        f"look-up {result.verify_seconds:.0f} s; seed {result.seed}"
    )
    for name in verdict.lost[:5]:
        console.print(f"lost: {name}")


def main() -> None:
    """Exit code 1 if an acknowledged span is lost."""
    parser = argparse.ArgumentParser(
        prog="python -m checks.chaos", description=f"{__doc__} Faults: {', '.join(FAULTS)}. The local stack only."
    )
    parser.add_argument("--spans", type=int, default=1_000_000, help="how many to acknowledge (1,000,000)")
    parser.add_argument("--rate", type=float, default=800, help="spans a second (800)")
    parser.add_argument("--collectors", type=int, default=3, help="how many Collectors (3)")
    parser.add_argument("--kills", type=int, default=20, help="how often a Collector is killed (20)")
    parser.add_argument("--away", type=float, default=600, help="seconds without trace store (600)")
    parser.add_argument(
        "--fault", action="append", metavar="NAME[=SECONDS]", help="only these, in this order; may be repeated"
    )
    parser.add_argument("--seed", type=int, default=None, help="order of the faults and who is hit (random, printed)")
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else secrets.randbelow(10_000)
    steps = _steps(asked.fault) if asked.fault else full(seed, kills=asked.kills, away_seconds=asked.away)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the stack is left as it is declared
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    ledger = DIRECTORY / f"{time.strftime('%Y%m%d-%H%M%S')}.ledger"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console.print(f"seed {seed}, {len(steps)} faults, ledger {ledger}")
    try:
        with (
            with_settings("local", {"collector": {"replicas": asked.collectors}}, lambda line: None) as settings,
            Progress(*columns, console=console, transient=True) as progress,
        ):
            sent = progress.add_task("spans acknowledged", total=asked.spans)
            found = progress.add_task("traces looked up", total=-(-asked.spans // SPANS))
            result = Run(
                cluster=LocalCluster(settings),
                ledger=ledger,
                steps=steps,
                spans=asked.spans,
                rate=asked.rate,
                seed=seed,
                say=console.print,
                tick=lambda spans: progress.update(sent, completed=spans),
                looked_up=lambda traces: progress.update(found, completed=traces),
            ).run()
    except (SettingsError, DeployError, CheckFailure) as error:
        sys.exit(f"error: {error}")
    report(result, console)
    ledger.with_suffix(".json").write_text(json.dumps(asdict(result), indent=1))
    if result.verdict.lost:
        sys.exit(f"error: {len(result.verdict.lost)} acknowledged spans are not in the store")


def _steps(asked: list[str]) -> list[Step]:
    steps = []
    for text in asked:
        name, _, seconds = text.partition("=")
        if name not in FAULTS:
            sys.exit(f"error: no fault {name!r}; there are {', '.join(FAULTS)}")
        steps.append(Step(fault=name, seconds=float(seconds or 30)))
    return steps


if __name__ == "__main__":
    main()
