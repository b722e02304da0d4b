"""The failing and the slow operations: the last minute against the five minutes before it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.metrics import DB_SYSTEM, SERVICE, SPAN_KIND, SPAN_NAME
from stack.clients.prometheus import Series
from stack.explain.queries import SLOW_MS

MAX_ROWS: Final = 8
_RISE: Final = 3.0
"""What rose this many times has begun now: a fault of 100 s has a third of its rate in the 5 minutes before."""
_CALLS: Final = ("CLIENT", "PRODUCER")


@dataclass(frozen=True, kw_only=True)
class Operation:
    """The value of an operation in the last minute, and in the five minutes before; 0 if there was none."""

    service: str
    kind: str
    name: str
    database: bool
    now: float
    previous: float

    @property
    def began(self) -> bool:
        """Whether the value rose so much that a fault began now."""
        return self.now > 0 and self.now >= _RISE * self.previous

    @property
    def depth(self) -> int:
        """The lower, the nearer to the cause: a server's span has the delay of all calls that the server makes."""
        if self.database:
            return 0
        if self.kind in _CALLS:
            return 1
        return 3 if self.kind == "SERVER" else 2


def compare(now: Sequence[Series], previous: Sequence[Series]) -> list[Operation]:
    """Return the operations of two results."""
    values = [
        {_key(series): series.value for series in result if not math.isnan(series.value)} for result in (now, previous)
    ]
    return [
        Operation(
            service=service,
            kind=kind.removeprefix("SPAN_KIND_"),
            name=name,
            database=bool(database),
            now=values[0].get(key, 0.0),
            previous=values[1].get(key, 0.0),
        )
        for key in dict.fromkeys([*values[0], *values[1]])
        for service, kind, name, database in [key]
    ]


def failing(operations: Sequence[Operation]) -> list[Operation]:
    """Return the operations that fail: what began now first, what has ended last, else the deepest first."""
    return sorted(
        (operation for operation in operations if operation.now > 0 or operation.previous > 0),
        key=lambda operation: (not operation.now, not operation.began, operation.depth, -operation.now),
    )


def failing_rows(operations: Sequence[Operation]) -> list[str]:
    """Return a table of failures per second. Empty if nothing fails."""
    return list(_table("failures per second", failing(operations), lambda value: f"{value:.2f}"))


def slow_rows(operations: Sequence[Operation]) -> list[str]:
    """Return a table of durations: the deepest operations first, for their callers only wait. Empty if none is slow."""
    slow = [operation for operation in operations if operation.now > SLOW_MS]
    slow.sort(key=lambda operation: (operation.depth, not operation.began, -operation.now))
    return list(_table("95th percentile in ms", slow, lambda value: f"{value:.0f}"))


def _table(unit: str, operations: Sequence[Operation], text: Callable[[float], str]) -> Iterator[str]:
    if operations:
        yield f"{'last minute':>12} {'5 min before':>13}  ({unit})"
    for operation in operations[:MAX_ROWS]:
        mark = "began now" if operation.began else "ended" if not operation.now else ""
        name = f"{operation.service} {operation.kind} {operation.name}"
        yield f"{text(operation.now):>12} {text(operation.previous):>13}  {mark:<9}  {name}"
    if len(operations) > MAX_ROWS:
        yield f"… and {len(operations) - MAX_ROWS} more"


def _key(series: Series) -> tuple[str, str, str, str]:
    labels = series.labels
    return labels.get(SERVICE, ""), labels.get(SPAN_KIND, ""), labels.get(SPAN_NAME, ""), labels.get(DB_SYSTEM, "")
