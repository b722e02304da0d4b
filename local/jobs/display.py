"""Shows the progress of jobs: a live table on a terminal, plain lines elsewhere."""

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

State = Literal["waiting", "queued", "running", "done", "failed", "cancelled"]

STILL_RUNNING_EVERY = 15.0  # seconds between two plain lines of one job


@dataclass(frozen=True, kw_only=True)
class Row:
    """One job as the display shows it."""

    name: str
    state: State
    activity: str
    seconds: float


class Display(Protocol):
    """Is notified of every change, and also refreshes itself at intervals."""

    def changed(self, row: Row, /) -> None:
        """Shows that a job started or ended."""

    def note(self, name: str, text: str, /) -> None:
        """Shows a message of a job that stays visible after the job has ended."""

    def __enter__(self) -> "Display": ...

    def __exit__(self, *_: object) -> None: ...


class PlainDisplay(AbstractContextManager["PlainDisplay"]):
    """For logs and pipes: a line when a job starts and ends, and one every 15 s while it runs."""

    def __init__(self, rows: Callable[[], Sequence[Row]], output: TextIO) -> None:
        self._rows = rows
        self._output = output
        self._next_line: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "PlainDisplay":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def changed(self, row: Row) -> None:
        if row.state == "running":
            self._print(f"[{row.name}] started")
        elif row.state == "done":
            self._print(f"[{row.name}] done in {row.seconds:.1f} s" + (f": {row.activity}" if row.activity else ""))
        elif row.state in ("failed", "cancelled"):
            self._print(f"[{row.name}] {row.state} after {row.seconds:.1f} s")

    def note(self, name: str, text: str) -> None:
        self._print(f"[{name}] {text}")

    def _tick(self) -> None:
        while not self._stop.wait(1.0):
            for row in self._rows():
                is_due = row.seconds >= self._next_line.get(row.name, STILL_RUNNING_EVERY)
                if is_due and row.state in ("running", "queued"):
                    self._next_line[row.name] = row.seconds + STILL_RUNNING_EVERY
                    self._print(f"[{row.name}] {row.seconds:.0f} s: {row.activity or 'running'}")

    def _print(self, text: str) -> None:
        print(text, file=self._output, flush=True)


MARKS: Final[Mapping[State, tuple[str, str]]] = {
    "waiting": ("·", "dim"),
    "queued": ("·", "yellow"),
    "running": ("▸", "cyan"),
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "cancelled": ("-", "yellow"),
}
"""State → the mark of its row and the mark's style."""


class LiveDisplay(AbstractContextManager["LiveDisplay"]):
    """A table with one row a job, redrawn in place."""

    def __init__(self, rows: Callable[[], Sequence[Row]], console: Console) -> None:
        self._rows = rows
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=4)

    def __enter__(self) -> "LiveDisplay":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def changed(self, _row: Row) -> None:
        self._live.refresh()

    def note(self, name: str, text: str) -> None:
        self._live.console.print(Text(f"{name}: {text}"))

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for _ in range(4):
            table.add_column(no_wrap=True, overflow="ellipsis")
        for row in self._rows():
            mark, style = MARKS[row.state]
            seconds = f"{row.seconds:.0f} s" if row.seconds else ""
            table.add_row(Text(mark, style), Text(row.name, style), Text(seconds, "dim"), Text(row.activity, "dim"))
        return table


def display(rows: Callable[[], Sequence[Row]], output: TextIO | None = None) -> Display:
    """The display that fits the output."""
    output = output or sys.stdout
    console = Console(file=output)
    return LiveDisplay(rows, console) if console.is_terminal else PlainDisplay(rows, output)
