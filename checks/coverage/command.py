"""`make coverage`: 10,000 operations, the trace of each compared with the expected one."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from checks.coverage.ledger import Outcome, describe
from checks.coverage.stack import cover
from contracts.errors import UserError
from stack.settings import load_here

_LINE_SECONDS: Final = 15.0


def coverage(stack: str = "local", *, operations: int = 10_000, malformed: int | None = None, seed: int = 4) -> Outcome:
    """Runs the check on a stack and prints the result.

    Args:
        stack: its name.
        operations: how many.
        malformed: how many of them are malformed, by default a tenth.
        seed: decides the order and the kinds of the operations.

    Raises:
        UserError: the ledger cannot be kept, or the stack cannot be reached.
    """
    malformed = operations // 10 if malformed is None else malformed
    if not 0 <= malformed <= operations:
        raise UserError(f"malformed: {malformed} is not between 0 and the {operations} operations")
    with _progress(operations) as on_progress:
        outcome = cover(
            load_here(stack), operations=operations, malformed=malformed, seed=seed, on_progress=on_progress
        )
    show(outcome, Console(width=None if sys.stdout.isatty() else 120, highlight=False))
    return outcome


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int, int, int], None]]:
    """Shows the progress: a bar on a terminal, elsewhere a line every 15 s."""
    if not sys.stderr.isatty():
        printed = time.monotonic()

        def print_line(done: int, failed: int, in_flight: int) -> None:
            nonlocal printed
            if time.monotonic() - printed > _LINE_SECONDS:
                printed = time.monotonic()
                line = f"{done} of {total} operations, {failed} failed, {in_flight} in flight"
                print(line, file=sys.stderr, flush=True)

        yield print_line
        return
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("operations", total=total)
        yield lambda done, failed, in_flight: progress.update(
            task, completed=done, description=f"operations ({failed} failed, {in_flight} in flight)"
        )


def show(outcome: Outcome, console: Console) -> None:
    """Prints the coverage by kind, the operations that are not covered, and the total."""
    table = Table("operation", title="Traces compared with the ledger", title_justify="left")
    for heading in ("done", "complete", "%"):
        table.add_column(heading, justify="right")
    for kind, count, covered in outcome.kinds():
        table.add_row(kind, str(count), str(covered), f"{100 * covered / count:.2f}")
    console.print(table)
    for line in describe(outcome.failed):
        console.print(f"[red]not covered[/]: {line}", markup=True, soft_wrap=True)
    count = len(outcome.entries)
    lookups = sum(entry.lookups for entry in outcome.entries)
    spans = sum(entry.spans for entry in outcome.entries)
    repeated = sum(entry.comparison.repeated for entry in outcome.entries if entry.comparison)
    malformed = sum(entry.operation.malformed for entry in outcome.entries)
    console.print(
        f"{count - len(outcome.failed)} of {count} operations ({malformed} malformed) have their complete trace: "
        f"{outcome.percent:.2f} %\n{outcome.seconds:.0f} s, {lookups} look-ups by id, {spans} spans compared, "
        f"{repeated} spans repeated by redelivery"
    )
