"""`make coverage`: 10,000 operations, each trace held against the ledger. Exit code 1 if one is not as it must be."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from checks.coverage.run import LedgerError, Outcome, describe
from checks.coverage.stack import cover
from stack.kubernetes.apply import DeployError
from stack.polling import CheckFailure
from stack.settings import SettingsError, load

_LINE_SECONDS = 15.0


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int, int, int], None]]:
    """A bar on a terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        said_at = time.monotonic()

        def line(done: int, failed: int, in_flight: int) -> None:
            nonlocal said_at
            if time.monotonic() - said_at > _LINE_SECONDS:
                said_at = time.monotonic()
                print(
                    f"{done} of {total} operations, {failed} failed, {in_flight} in flight", file=sys.stderr, flush=True
                )

        yield line
        return
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("operations", total=total)
        yield lambda done, failed, in_flight: progress.update(
            task, completed=done, description=f"operations ({failed} failed, {in_flight} in flight)"
        )


def show(outcome: Outcome, console: Console) -> None:
    """Coverage by kind, what failed, and the sum."""
    table = Table("operation", title="Traces, held against the ledger", title_justify="left")
    for heading in ("done", "complete", "%"):
        table.add_column(heading, justify="right")
    for kind, count, covered in outcome.kinds():
        table.add_row(kind, str(count), str(covered), f"{100 * covered / count:.2f}")
    console.print(table)
    for line in describe(outcome.failed):
        console.print(f"[red]not covered[/]: {line}", markup=True, soft_wrap=True)
    count = len(outcome.entries)
    looks = sum(entry.looks for entry in outcome.entries)
    spans = sum(entry.spans for entry in outcome.entries)
    repeated = sum(entry.comparison.repeated for entry in outcome.entries if entry.comparison)
    malformed = sum(entry.operation.malformed for entry in outcome.entries)
    console.print(
        f"{count - len(outcome.failed)} of {count} operations ({malformed} malformed) have their complete trace: "
        f"{outcome.percent:.2f} %\n{outcome.seconds:.0f} s, {looks} look-ups by id, {spans} spans compared, "
        f"{repeated} steps seen twice (redelivery)"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m checks.coverage", description=__doc__)
    parser.add_argument("--stack", default="local")
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--malformed", type=int, help="how many of them are malformed; a tenth by default")
    parser.add_argument("--seed", type=int, default=4, help="another one makes another mix")
    arguments = parser.parse_args()
    malformed = arguments.operations // 10 if arguments.malformed is None else arguments.malformed
    if not 0 <= malformed <= arguments.operations:
        parser.error("--malformed: not more than there are operations")
    try:
        with _progress(arguments.operations) as tick:
            outcome = cover(
                load(arguments.stack),
                operations=arguments.operations,
                malformed=malformed,
                seed=arguments.seed,
                tick=tick,
            )
    except (SettingsError, DeployError, LedgerError, CheckFailure) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    show(outcome, Console(width=None if sys.stdout.isatty() else 120, highlight=False))
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())
