"""Changes the stack under traffic: how many requests fail, whether their traces are whole, and what is lost."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from checks.harness.traffic import Traffic
from checks.upgrade.data import Data, Stack
from contracts.hops import HOPS, PAGE
from stack.rollout.probes import Probes
from stack.settings import load
from stack.smoke.check import check

RATE: Final = 10.0
_EVERY_SECONDS: Final = 1.0
_STORED_SECONDS: Final = 300.0
"""How long a trace may take, the change included: while Kafka and the stores restart, messages and spans wait. Only a
trace that is lost takes all of it."""
# The page is the gateway's own. A crawl may fail while the gateway is replaced, so this hop is not required.
_HOPS: Final = tuple(hop for hop in HOPS if hop is not PAGE)


@dataclass(frozen=True, kw_only=True)
class Change:
    """The result of one change."""

    title: str
    seconds: float
    """The time that it took."""
    requests: int
    failed: int
    """Requests with an error, or without an answer."""
    whole: int
    """Acknowledged requests whose trace has every hop."""
    broken: list[str]
    """A message for each other acknowledged request."""
    lost: list[str]
    """Data that existed before the change and is missing after it."""

    @property
    def is_lossless(self) -> bool:
        """Whether nothing was lost except requests that got an error."""
        return bool(self.whole) and not self.broken and not self.lost


def change(title: str, make: Callable[[], object], data: Data) -> Change:
    """Changes the local stack under traffic, and compares its data with the data before.

    Args:
        title: its name in the result.
        make: makes the change; its exceptions are not caught.
        data: the data before.

    Raises:
        CheckFailure: the stack does not work afterwards.
    """
    stack = Stack(load("local"))
    probes = Probes([stack.gateway], stack.store, every=_EVERY_SECONDS, stored_seconds=_STORED_SECONDS, hops=_HOPS)
    with Traffic(stack.gateway, RATE, keep=False) as traffic:
        with probes.run():
            started = time.monotonic()
            make()
            seconds = time.monotonic() - started
            check(stack.settings)
        probes.finish()
    return Change(
        title=title,
        seconds=seconds,
        requests=sum(traffic.answers.values()),
        failed=len(traffic.failures),
        whole=probes.whole,
        broken=list(probes.missed),
        lost=data.lost(stack),
    )


def show(title: str, changes: list[Change], console: Console) -> bool:
    """Prints the results of changes; returns whether all were lossless."""
    table = Table(title=title)
    for column in ("change", "took", "requests", "failed", "whole traces", "broken traces", "lost"):
        table.add_column(column, overflow="fold")
    for made in changes:
        counts = (f"{made.seconds:.0f} s", str(made.requests), str(made.failed), str(made.whole))
        table.add_row(made.title, *counts, "; ".join(made.broken) or "0", "; ".join(made.lost) or "nothing")
    console.print(table)
    return all(made.is_lossless for made in changes)
