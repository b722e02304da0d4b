"""Counts the spans of each stage, exactly over counter resets."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from dashboards.config import MonitoringConfig
from dashboards.rules.stages import stages
from stack.accounting.model import Count
from stack.clients.prometheus import Query, Series

_LOOKBACK_SECONDS: Final = 300
"""How far back Prometheus itself searches for the latest sample of a series."""


@dataclass(frozen=True, kw_only=True)
class StageCount:
    """A stage's count, and the highest rate at which its spans were counted, per second."""

    count: Count
    rate: float


def count_stages(config: MonitoringConfig, query: Query, *, start: float, end: float) -> dict[str, StageCount]:
    """Counts the spans of each stage within a window, by the stage's name.

    Raises:
        QueryError: Prometheus does not answer.
    """
    counts = {}
    for stage in stages(config):
        result = query(f"{stage.counter}[{int(end - start + _LOOKBACK_SECONDS)}s]", end)
        increases = [increase(series.points, start) for series in result]
        spans = round(sum(spans for spans, _ in increases))
        restarts = sum(restarts for _, restarts in increases)
        counts[stage.name] = StageCount(
            count=Count(stage=stage.name, title=stage.title, spans=spans, restarts=restarts),
            rate=_highest_rate(result, start, config.scrape_interval_seconds),
        )
    return counts


def increase(samples: Sequence[tuple[float, float]], start: float) -> tuple[float, int]:
    """How much a counter grew after `start`, and how often it was reset. Nothing is extrapolated.

    A series whose first sample is later than `start` started at 0 after it.
    """
    earlier = [value for time, value in samples if time <= start]
    later = [value for time, value in samples if time > start]
    last, total, restarts = (earlier[-1], 0.0, 0) if earlier else (0.0, 0.0, 0)
    for value in later:
        restarts += value < last
        total += value if value < last else value - last
        last = value
    return total, restarts + (not earlier and bool(later))


def _highest_rate(result: Iterable[Series], start: float, scrape_seconds: float) -> float:
    """The most that the counters grew together between two scrapes, per second."""
    growth: Counter[int] = Counter()
    for series in result:
        for (time, value), (next_time, next_value) in pairwise(series.points):
            if next_time > start:
                # Spread over a gap between scrapes: a late scrape is no burst.
                scrapes = max(1.0, (next_time - time) / scrape_seconds)
                growth[int(next_time // scrape_seconds)] += round(max(0.0, next_value - value) / scrapes)
    return max(growth.values(), default=0) / scrape_seconds
