"""Compares the stages with each other: how many spans are missing in each leg, and whether they are lost."""

from bisect import bisect_left, bisect_right
from typing import Final

from contracts import endpoints, metrics
from contracts.metrics import JOB
from dashboards.config import MonitoringConfig
from dashboards.queries import equals, series
from dashboards.rules.stages import Leg, legs, processes_ended, unseen_seconds
from stack.accounting.count import StageCount, count_stages
from stack.accounting.model import Accounting, Difference
from stack.clients.prometheus import Query

RESTART_SECONDS: Final = 60
"""A sampler that restarts is unavailable for less."""


def account(config: MonitoringConfig, query: Query, *, seconds: float, end: float) -> Accounting:
    """Accounts for the spans of a window.

    Args:
        config: the monitoring configuration of the stack.
        query: see `PrometheusClient.query`.
        seconds: the length of the window.
        end: its end, in s since the epoch.

    Raises:
        QueryError: Prometheus does not answer.
    """
    start = end - seconds
    counts = count_stages(config, query, start=start, end=end)
    stopped = sum(one.value for one in query(processes_ended(config, f"{int(seconds)}s"), end))
    # Both ends of the window can hide the spans of one scrape; each process the spans it counted while it stopped.
    unknown_seconds = 2 * config.scrape_interval_seconds + stopped * unseen_seconds(config)
    return Accounting(
        end=end,
        seconds=seconds,
        counts=[stage.count for stage in counts.values()],
        differences=[_compare(leg, counts, query, start, end, unknown_seconds) for leg in legs(config)],
        stopped_processes=round(stopped),
        route_changed_at=_route_changed_at(config, query, start, end),
    )


def _compare(
    leg: Leg, counts: dict[str, StageCount], query: Query, start: float, end: float, unknown_seconds: float
) -> Difference:
    exits = [counts[stage.name] for stage in (leg.target, *leg.given_up)]
    source = counts[leg.source.name]
    waiting = _waiting(leg, query, end) - _waiting(leg, query, start)
    missing = source.count.spans - sum(stage.count.spans for stage in exits) - waiting
    tolerated = max(stage.rate for stage in (source, *exits)) * unknown_seconds
    has_uncounted_waiting = leg.idle is not None and not query(leg.idle, end)
    return Difference(
        leg=leg.name,
        title=leg.title,
        waiting=round(waiting),
        missing=round(missing),
        tolerated=round(tolerated),
        lost=missing > tolerated and not has_uncounted_waiting,
    )


def _waiting(leg: Leg, query: Query, time: float) -> float:
    return sum(one.value for one in query(f"sum({leg.waiting})", time)) if leg.waiting else 0.0


def _route_changed_at(config: MonitoringConfig, query: Query, start: float, end: float) -> float | None:
    """Return the last time at which samplers ran that the settings do not declare, or declared ones did not run."""

    def scrapes(job: str) -> list[float]:
        result = query(f"{series(metrics.UP, equals(JOB, job))}[{int(end - start)}s]", end)
        return sorted(time for one in result for time, _ in one.points)

    samplers = scrapes(endpoints.SAMPLER)

    def is_near(time: float) -> bool:
        return bisect_right(samplers, time + RESTART_SECONDS) > bisect_left(samplers, time - RESTART_SECONDS)

    if not config.tail_sampling:
        return samplers[-1] if samplers else None
    # Prometheus may have been unavailable as well. If it scraped only Collectors, no samplers followed them.
    return max((time for time in scrapes(endpoints.COLLECTOR) if not is_near(time)), default=None)
