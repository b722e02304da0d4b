"""What a person sees while jobs run: a live table on a terminal, plain lines anywhere else."""

import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

STILL_RUNNING_EVERY = 15.0  # seconds between two plain lines of one job


@dataclass(frozen=True, kw_only=True)
class Row:
    """One job as the display shows it."""

    name: str
    state: str  # waiting | queued | running | done | failed | cancelled
    doing: str
    seconds: float


class Display(Protocol):
    """Told about every change; also asked to refresh itself now and then."""

    def changed(self, row: Row, /) -> None:
        """A job started or ended."""

    def say(self, name: str, text: str, /) -> None:
        """A job has something to say that a person should see even if it is over in a moment."""

    def __enter__(self) -> "Display": ...

    def __exit__(self, *_: object) -> None: ...


class PlainDisplay(AbstractContextManager["PlainDisplay"]):
    """Start, a line every 15 s while a job still runs, and its end: for logs and pipes."""

    def __init__(self, rows: Callable[[], Sequence[Row]], output: TextIO) -> None:
        self._rows = rows
        self._output = output
        self._next: dict[str, float] = {}
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
            self._line(f"[{row.name}] started")
        elif row.state == "done":
            self._line(f"[{row.name}] done in {row.seconds:.1f} s" + (f": {row.doing}" if row.doing else ""))
        elif row.state in ("failed", "cancelled"):
            self._line(f"[{row.name}] {row.state} after {row.seconds:.1f} s")

    def say(self, name: str, text: str) -> None:
        self._line(f"[{name}] {text}")

    def _tick(self) -> None:
        while not self._stop.wait(1.0):
            for row in self._rows():
                if row.state in ("running", "queued") and row.seconds >= self._next.get(row.name, STILL_RUNNING_EVERY):
                    self._next[row.name] = row.seconds + STILL_RUNNING_EVERY
                    self._line(f"[{row.name}] {row.seconds:.0f} s: {row.doing or 'running'}")

    def _line(self, text: str) -> None:
        print(text, file=self._output, flush=True)


MARKS = {
    "waiting": ("·", "dim"),
    "queued": ("·", "yellow"),
    "running": ("▸", "cyan"),
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "cancelled": ("-", "yellow"),
}


class LiveDisplay(AbstractContextManager["LiveDisplay"]):
    """A table redrawn in place, one line a job."""

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

    def say(self, name: str, text: str) -> None:
        self._live.console.print(Text(f"{name}: {text}"))

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for _ in range(4):
            table.add_column(no_wrap=True, overflow="ellipsis")
        for row in self._rows():
            mark, style = MARKS[row.state]
            seconds = f"{row.seconds:.0f} s" if row.seconds else ""
            table.add_row(Text(mark, style), Text(row.name, style), Text(seconds, "dim"), Text(row.doing, "dim"))
        return table


def display(rows: Callable[[], Sequence[Row]], output: TextIO | None = None) -> Display:
    """The display that fits the output: live on a terminal, plain lines otherwise."""
    output = output or sys.stdout
    console = Console(file=output)
    return LiveDisplay(rows, console) if console.is_terminal else PlainDisplay(rows, output)
