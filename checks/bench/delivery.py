"""Spans of one process at a high rate: how many arrive, and what each costs."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from checks.bench.capacity_load import CountingStore
from checks.bench.instrumentation import transport
from checks.bench.measure import Peers, Subject, Tick

RATE: Final = 40_000
"""Spans per second that a process must deliver without losing one."""
_WARM_UP: Final = 2_000


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One round of one variant."""

    made: int
    """Spans that ended."""
    received: int
    """Spans that arrived, until a flush returned."""
    seconds: float
    """Time in which the spans were made, which is longer if the process cannot reach the rate."""
    cpu_microseconds: float
    """CPU time of the process for each span, the export included."""

    @property
    def rate(self) -> float:
        """Spans that ended, per second."""
        return self.made / self.seconds


def deliveries(
    peers: Peers, subjects: Sequence[Subject], *, repeats: int, seconds: int, tick: Tick, rate: int = RATE
) -> dict[Subject, list[Delivery]]:
    """Let a new process of each subject send at a rate, in turns."""
    made: dict[Subject, list[Delivery]] = {subject: [] for subject in subjects}
    for number in range(repeats):
        for subject in subjects:
            tick(f"{rate:,} spans/s: {subject}, {number + 1} of {repeats}")
            made[subject].append(_deliver(peers, subject, rate, seconds))
    return made


def _deliver(peers: Peers, subject: Subject, rate: int, seconds: int) -> Delivery:
    store = CountingStore()
    try:
        with peers.sender(subject, store.url(over_http=transport(subject.variant) == "http")) as sender:
            sender.ask(_WARM_UP)
            store.tally()
            cost = sender.ask([rate, seconds])
            received = store.tally().spans
    finally:
        store.stop()
    return Delivery(
        made=cost["operations"],
        received=received,
        seconds=cost["wall"],
        cpu_microseconds=cost["cpu"] / cost["operations"] * 1e6,
    )


def lost(rounds: Sequence[Delivery]) -> int:
    """Return the spans that did not arrive."""
    return sum(item.made - item.received for item in rounds)


def medians(deliveries: Mapping[Subject, Sequence[Delivery]]) -> dict[Subject, tuple[float, float]]:
    """Return subject → median rate in spans per second, and median µs of CPU for each span."""
    return {
        subject: (
            statistics.median(item.rate for item in rounds),
            statistics.median(item.cpu_microseconds for item in rounds),
        )
        for subject, rounds in deliveries.items()
    }
