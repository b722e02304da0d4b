"""Collects the measurements of both versions from Prometheus, with the queries of the rollout dashboard."""

import functools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from contracts import metrics
from contracts.metadata import Track
from contracts.metrics import JOB, TRACK
from contracts.services import CRAWLER, GATEWAY, TASK_MANAGER
from dashboards.queries import (
    CRAWLS,
    FAILED_REQUESTS,
    FOREIGN_FAILURES,
    GIVEN_UP,
    MEMORY,
    MESSAGE_DURATION,
    MESSAGES,
    REQUEST_DURATION,
    REQUESTS,
    SPAN_ACCOUNT,
    TRACES,
    UNHANDLED_MESSAGES,
    WAITING,
    equals,
    exact_increases,
    series_of,
)
from stack.clients.prometheus import Query, Series
from stack.rollout.gate import Sample, Spans

WARM_UP_SECONDS: Final = 15.0
"""Durations count from this time after a stage's start: a new process connects and loads code for its first
operations."""
CANARY_SPANS: Final = f"sum by (__name__) ({series_of(SPAN_ACCOUNT, equals(TRACK, 'canary'), TRACES)})"
"""The span account of the canary: each span is exported, given up or waiting."""

Window = tuple[float, float]
"""Start and end, in s since the epoch."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A kind of operation, and the selectors of its counters."""

    name: str
    services: tuple[str, ...]
    """Those that have such operations."""
    total: str
    failed: str
    duration: str = ""
    """Empty if it depends on the outside world."""
    is_foreign: bool = False
    """Whether its failures are the outside world's."""


OPERATIONS: Final = (
    Operation(
        name="requests",
        services=(GATEWAY, TASK_MANAGER),
        total=REQUESTS,
        failed=FAILED_REQUESTS,
        duration=REQUEST_DURATION,
    ),
    Operation(
        name="messages",
        services=(TASK_MANAGER, CRAWLER),
        total=MESSAGES,
        failed=UNHANDLED_MESSAGES,
        duration=MESSAGE_DURATION,
    ),
    Operation(name="pages", services=(CRAWLER,), total=CRAWLS, failed=FOREIGN_FAILURES, is_foreign=True),
)


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """The measurements of one window, by track: `canary`, and `baseline`, the pods with which it is compared."""

    samples: Mapping[str, Mapping[str, Sample]] = field(default_factory=dict)
    """Track → `service, kind of operation` → the operations."""
    memory: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Track → service → bytes of its largest pod."""
    spans: Spans = field(default_factory=Spans)
    """Of the canary."""


# The simulation of many rollouts asks for the same ones again and again.
@functools.lru_cache(4096)
def growth(selector: str, seconds: float, *labels: str) -> str:
    """PromQL: how much counters grew within a time, with those that are new or were reset."""
    window = f"{max(1, round(seconds))}s"
    parts = [f"({exact_increases(part, window)})" for part in selector.split(" or ")]
    return f"sum by ({', '.join(labels)}) ({' or '.join(parts)})"


def failed_query(operation: Operation, seconds: float) -> str:
    """The query of the failed operations within a time."""
    return growth(operation.failed, seconds, JOB, TRACK)


def duration_query(operation: Operation, seconds: float) -> str:
    """The query of the durations within a time since a stage's start."""
    return growth(operation.duration, max(1.0, seconds - WARM_UP_SECONDS), JOB, TRACK, "le")


def collect(query: Query, window: Window, compared: Track) -> Measurements:
    """Measures both versions over a window.

    Args:
        query: of Prometheus.
        window: start and end.
        compared: the track with which the canary is compared.

    Raises:
        QueryError: Prometheus does not answer.
    """
    start, end = window
    seconds = end - start
    samples: dict[str, dict[str, Sample]] = defaultdict(dict)
    for operation in OPERATIONS:
        totals = _by_version(query(growth(operation.total, seconds, JOB, TRACK), end))
        failures = _by_version(query(failed_query(operation, seconds), end))
        buckets: dict[tuple[str, str], dict[float, int]] = defaultdict(dict)
        if operation.duration and seconds > WARM_UP_SECONDS:
            for series in query(duration_query(operation, seconds), end):
                buckets[_version(series)][float(series.labels["le"])] = _count(series)
        for track, job in totals.keys() | failures.keys() | buckets.keys():
            samples[track][f"{job}, {operation.name}"] = Sample(
                operations=totals.get((track, job), 0),
                failures=failures.get((track, job), 0),
                buckets=buckets.get((track, job), {}),
            )
    memory: dict[str, dict[str, float]] = defaultdict(dict)
    for series in query(MEMORY, end):
        track, job = _version(series)
        if math.isfinite(series.value):
            memory[track][job] = series.value
    tracks = {"canary": "canary", "baseline": compared}
    return Measurements(
        samples={name: samples[track] for name, track in tracks.items()},
        memory={name: memory[track] for name, track in tracks.items()},
        spans=_spans(query(CANARY_SPANS, end)),
    )


def _version(series: Series) -> tuple[str, str]:
    return series.labels.get(TRACK, ""), series.labels[JOB]


def _by_version(result: Sequence[Series]) -> dict[tuple[str, str], int]:
    return {_version(series): _count(series) for series in result}


def _count(series: Series) -> int:
    return round(series.value) if math.isfinite(series.value) else 0


def _spans(result: Sequence[Series]) -> Spans:
    counts = {series.labels["__name__"]: _count(series) for series in result}

    def total(*names: str) -> int:
        return sum(counts.get(name, 0) for name in names)

    return Spans(
        ended=total(metrics.SPANS_ENDED),
        exported=total(metrics.SPANS_EXPORTED),
        given_up=total(*GIVEN_UP),
        waiting=total(*WAITING),
    )
