"""The stack is changed while requests go on: what they met with, whether their traces are whole, and what was lost."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from checks.detect.traffic import Traffic
from checks.upgrade.data import Data, Stack
from contracts.hops import HOPS, PAGE
from stack.rollout.probes import Probes
from stack.settings import load
from stack.smoke.check import TRACE_SECONDS, check

RATE: Final = 10.0
_EVERY_SECONDS: Final = 1.0
# A store that begins anew may take its time; the Collectors keep what is for it.
_STORED_SECONDS: Final = 2 * TRACE_SECONDS
# The page is the gateway's: while that is replaced, a crawl may fail, and its trace tells.
_HOPS: Final = tuple(hop for hop in HOPS if hop is not PAGE)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What came of one."""

    what: str
    seconds: float
    """That it took."""
    requests: int
    failed: int
    """Answered with an error, or not at all."""
    whole: int
    """Requests acknowledged meanwhile whose trace has every hop."""
    broken: list[str]
    """The others of these, and what their traces lack."""
    lost: list[str]
    """What was there before the change and is not after it."""

    @property
    def good(self) -> bool:
        """Whether it cost nothing but requests that were told so."""
        return bool(self.whole) and not self.broken and not self.lost


def change(what: str, make: Callable[[], object], data: Data) -> Change:
    """Changes the local stack under traffic, and looks at what was there before.

    Args:
        what: for people.
        make: makes the change; what it raises is passed on.
        data: what was there before.

    Raises:
        CheckFailure: the stack does not work afterwards.
    """
    stack = Stack(load("local"))
    probes = Probes([stack.gateway], stack.store, every=_EVERY_SECONDS, stored_seconds=_STORED_SECONDS, hops=_HOPS)
    with Traffic(stack.gateway, RATE, keep=False) as traffic:
        with probes.run():
            began = time.monotonic()
            make()
            seconds = time.monotonic() - began
            check(stack.settings)
        probes.finish()
    return Change(
        what=what,
        seconds=seconds,
        requests=sum(traffic.answers.values()),
        failed=len(traffic.failures),
        whole=probes.whole,
        broken=list(probes.missed),
        lost=data.lost(stack),
    )


def show(title: str, changes: list[Change], console: Console) -> bool:
    """Prints what came of changes; whether all of them were good."""
    table = Table(title=title)
    for column in ("change", "took", "requests", "failed", "whole traces", "broken traces", "lost"):
        table.add_column(column, overflow="fold")
    for made in changes:
        counts = (f"{made.seconds:.0f} s", str(made.requests), str(made.failed), str(made.whole))
        table.add_row(made.what, *counts, "; ".join(made.broken) or "0", "; ".join(made.lost) or "nothing")
    console.print(table)
    return all(made.good for made in changes)
