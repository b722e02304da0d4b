"""Compares the trace store with the ledger: looks up every span of every acknowledged request by trace id."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import httpx

from checks.chaos.requests import Requests
from stack.clients.traces import Span

_READERS: Final = 4
LATE_SECONDS: Final = 60.0
"""Time in which a span must be found, in s."""

Lookup = Callable[[str], list[Span]]


@dataclass
class Verdict:
    """The result for the acknowledged spans."""

    acknowledged: int = 0
    stored: int = 0
    lost: list[str] = field(default_factory=list)
    """`trace id/span id` of the missing spans."""
    duplicates: int = 0
    """Spans that the store has more than once."""
    foreign: int = 0
    """Spans in these traces that were never sent."""

    def add(self, trace_id: str, expected: set[str], spans: Iterable[Span]) -> None:
        """Counts one trace."""
        counts = Counter(span.span_id for span in spans)
        self.acknowledged += len(expected)
        missing = expected - counts.keys()
        self.stored += len(expected) - len(missing)
        self.lost += [f"{trace_id}/{span_id}" for span_id in sorted(missing)]
        self.duplicates += sum(count - 1 for span_id, count in counts.items() if span_id in expected)
        self.foreign += sum(count for span_id, count in counts.items() if span_id not in expected)


def verify(
    requests: Requests,
    acknowledged: Iterable[int],
    lookup: Lookup,
    on_looked_up: Callable[[int], None] = lambda traces: None,
    *,
    late_seconds: float = LATE_SECONDS,
) -> Verdict:
    """Looks up every trace.

    Args:
        requests: what was sent.
        acknowledged: numbers of the requests that were acknowledged.
        lookup: asks the store for a trace; fails with httpx.HTTPError.
        on_looked_up: called after each trace with the number of look-ups.
        late_seconds: a span that is not found after this time is lost.
    """
    traces = [item for number in sorted(set(acknowledged)) for item in requests.traces(number).items()]
    verdict = Verdict()
    deadline = time.monotonic() + late_seconds
    with ThreadPoolExecutor(_READERS) as pool:
        for done, (trace_id, expected, spans) in enumerate(
            pool.map(lambda item: (*item, _whole(lookup, item[0], item[1], deadline)), traces), 1
        ):
            verdict.add(trace_id, expected, spans)
            on_looked_up(done)
    return verdict


def _whole(lookup: Lookup, trace_id: str, expected: set[str], deadline: float) -> list[Span]:
    """Looks up a trace until it is whole, or until the deadline."""
    error: httpx.HTTPError | None = None
    for attempt in itertools.count():
        try:
            spans = lookup(trace_id)
        except httpx.HTTPError as failed:
            error, spans = failed, []
        if expected <= {span.span_id for span in spans}:
            return spans
        # At least three look-ups, also after the deadline: one may fail for its own reasons.
        if time.monotonic() > deadline and attempt >= 2:
            break
        time.sleep(0.5)
    if error is not None:
        raise error
    return spans
