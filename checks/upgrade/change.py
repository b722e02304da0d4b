"""Changes the stack under traffic: how many requests fail, whether their traces are whole, and what is lost."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from checks.chaos.cluster import LocalCluster
from checks.harness.traffic import Failure, Traffic
from checks.upgrade.data import Data, Stack
from checks.upgrade.outages import Outages
from contracts import endpoints
from contracts.hops import HOPS, PAGE
from stack.rollout.probes import Probes
from stack.settings import load
from stack.smoke.check import check

RATE: Final = 10.0
MAX_FAILED: Final = 0.001
"""Share of the requests that may fail without an outage of what the local stack has once; at least one request may."""
MAX_OUTAGE_SECONDS: Final = 60.0
"""A pod of Kafka or Postgres must be replaced within this time. On 2 busy cores it took 24 to 26 s."""
_SINGLE: Final = {endpoints.KAFKA: "POST", endpoints.POSTGRES: "GET"}
"""What the local stack has once, and the requests that need it: without Kafka no task is created, and without Postgres
none is read. With several brokers, as in prod, the requests do not fail."""
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
    failures: Mapping[str, int]
    """The failed requests, with an error or without an answer, by the workload whose outage explains them."""
    outages: Mapping[str, float]
    """Workload → the seconds in which it had no ready pod."""
    unexplained: Sequence[Failure]
    """The other failed requests."""
    whole: int
    """Acknowledged requests whose trace has every hop."""
    broken: list[str]
    """A message for each other acknowledged request."""
    lost: list[str]
    """Data that existed before the change and is missing after it."""

    @property
    def is_available(self) -> bool:
        """Whether requests failed only during short outages of what the local stack has once."""
        return (
            len(self.unexplained) <= max(1.0, MAX_FAILED * self.requests)
            and max(self.outages.values()) <= MAX_OUTAGE_SECONDS
        )

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
    probes = Probes(
        [stack.gateway],
        stack.store,
        every=_EVERY_SECONDS,
        stored_seconds=_STORED_SECONDS,
        key=stack.key,
        hops=_HOPS,
    )
    cluster = LocalCluster(stack.settings)
    outages = Outages(_SINGLE, lambda workload: bool(cluster.ready(workload)))
    with Traffic(stack.gateway, RATE, keep=False, key=stack.key) as traffic, outages.watched():
        with probes.run():
            started = time.monotonic()
            make()
            seconds = time.monotonic() - started
            check(stack.settings)
        probes.finish()
    causes = outages.causes(traffic.failures)
    return Change(
        title=title,
        seconds=seconds,
        requests=sum(traffic.answers.values()),
        failures={workload: causes[workload] for workload in _SINGLE},
        outages={workload: outages.seconds(workload) for workload in _SINGLE},
        unexplained=[failure for failure in traffic.failures if not outages.cause(failure)],
        whole=probes.whole,
        broken=[*probes.missed, *probes.unanswered],
        lost=data.lost(stack),
    )


def show(title: str, changes: list[Change], console: Console) -> bool:
    """Prints the results of changes; returns whether all were lossless, and no more requests failed than may."""
    table = Table(title=title)
    columns = ("change", "took", "requests", "failed in outages", "failed otherwise", "whole traces", "broken traces")
    for column in (*columns, "lost"):
        table.add_column(column, overflow="fold")
    for made in changes:
        outages = "; ".join(
            f"{made.failures[workload]} in {seconds:.0f} s without {workload}"
            for workload, seconds in made.outages.items()
            if seconds
        )
        table.add_row(
            made.title,
            f"{made.seconds:.0f} s",
            str(made.requests),
            outages or "0",
            "; ".join(map(str, made.unexplained)) or "0",
            str(made.whole),
            "; ".join(made.broken) or "0",
            "; ".join(made.lost) or "nothing",
        )
    console.print(table)
    return all(made.is_lossless and made.is_available for made in changes)
