"""What the running system shows of both versions, out of Prometheus."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from contracts import metrics
from contracts.metrics import TRACK
from dashboards.queries import (
    FAILED_MESSAGES,
    FAILED_REQUESTS,
    GIVEN_UP,
    MEMORY,
    MESSAGE_DURATION,
    MESSAGES,
    REQUEST_DURATION,
    REQUESTS,
    SPAN_ACCOUNT,
    TRACES,
    WAITING,
    equals,
    exact_increases,
    series_of,
)
from stack.clients.prometheus import Query, Series
from stack.rollout.gate import Sample, Spans

Track = str
SPANS: Final = f"sum by (__name__) ({series_of(SPAN_ACCOUNT, equals(TRACK, 'canary'), TRACES)})"
"""The spans of the canary's own account: each is exported, given up or waiting."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Operations of one kind, and how they are counted."""

    name: str
    all: str
    failed: str
    took: str


KINDS: Final = (
    Kind(name="requests", all=REQUESTS, failed=FAILED_REQUESTS, took=REQUEST_DURATION),
    Kind(name="messages", all=MESSAGES, failed=FAILED_MESSAGES, took=MESSAGE_DURATION),
)


@dataclass(frozen=True, kw_only=True)
class Observation:
    """A stage so far."""

    samples: Mapping[Track, Mapping[str, Sample]] = field(default_factory=dict)
    """Track → `service, kind` → its operations since the stage began."""
    memory: Mapping[Track, Mapping[str, float]] = field(default_factory=dict)
    """Track → service → bytes of its largest pod."""
    spans: Spans = field(default_factory=Spans)


def added(selector: str, seconds: float, by: str) -> str:
    """PromQL: what counters have counted within so many seconds, restarts and new counters included."""
    window = f"{max(1, round(seconds))}s"
    parts = [f"({exact_increases(part, window)})" for part in selector.split(" or ")]
    return f"sum by ({by}) ({' or '.join(parts)})"


def observe(ask: Query, *, since: float, warm: float, now: float) -> Observation:
    """What was counted from a stage's begin until now.

    Args:
        ask: PromQL and a time → the result's items.
        since: when both versions were there, in s since the epoch.
        warm: from when on durations count: what is asked first of a process takes longer.
        now: the moment to look at.

    Raises:
        httpx.HTTPError: Prometheus cannot be asked.
    """
    counts: dict[Track, dict[str, dict[str, Any]]] = {}

    def entry(labels: Mapping[str, str], kind: Kind) -> dict[str, Any]:
        of_track = counts.setdefault(labels.get("track", ""), {})
        return of_track.setdefault(f"{labels['job']}, {kind.name}", {"operations": 0, "failures": 0, "buckets": {}})

    for kind in KINDS:
        for item in ask(added(kind.all, now - since, "job, track"), now):
            entry(item.labels, kind)["operations"] = _whole(item)
        for item in ask(added(kind.failed, now - since, "job, track"), now):
            entry(item.labels, kind)["failures"] = _whole(item)
        if now > warm:
            for item in ask(added(kind.took, now - warm, "job, track, le"), now):
                entry(item.labels, kind)["buckets"][float(item.labels["le"])] = _whole(item)
    used: dict[Track, dict[str, float]] = {}
    for item in ask(MEMORY, now):
        used.setdefault(item.labels.get("track", ""), {})[item.labels["job"]] = item.value
    return Observation(
        samples={track: {key: Sample(**value) for key, value in found.items()} for track, found in counts.items()},
        memory=used,
        spans=_spans(ask(SPANS, now)),
    )


def _whole(item: Series) -> int:
    return 0 if math.isnan(item.value) else round(item.value)


def _spans(items: Sequence[Series]) -> Spans:
    values = {item.labels["__name__"]: _whole(item) for item in items}

    def total(*names: str) -> int:
        return sum(values.get(name, 0) for name in names)

    return Spans(
        ended=total(metrics.SPANS_ENDED),
        exported=total(metrics.SPANS_EXPORTED),
        given_up=total(*GIVEN_UP),
        waiting=total(*WAITING),
    )
