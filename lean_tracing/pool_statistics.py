"""Prometheus metrics of a connection pool of SQLAlchemy."""

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine

_WAIT_SECONDS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 2.0, 10.0)
_MOST_UNCOUNTED: Final = 256


class PoolStatistics(Collector):
    """Prometheus metrics of an engine's connection pool; never asks the database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        # Waits that are counted later, many at a time: this needs no lock, and counting each takes half a microsecond.
        self._uncounted: deque[float] = deque()
        self._waits = [0] * (len(_WAIT_SECONDS) + 1)
        self._waited = 0.0
        self._timeouts = 0

    def waited(self, seconds: float) -> None:
        """Counts a connection taken from the pool, and the time until it was available."""
        self._uncounted.append(seconds)
        if len(self._uncounted) >= _MOST_UNCOUNTED:
            with self._lock:
                self._count()

    def _count(self) -> None:
        while self._uncounted:
            seconds = self._uncounted.popleft()
            self._waits[bisect_left(_WAIT_SECONDS, seconds)] += 1
            self._waited += seconds

    def timed_out(self) -> None:
        """Counts a connection that was not available in time."""
        with self._lock:
            self._timeouts += 1

    def collect(self) -> Iterable[Metric]:
        """Connections by state, size and overflow of pools that have them, waits and timeouts."""
        pool: Any = self._engine.pool
        name = [self._engine.url.database or self._engine.dialect.name]
        if hasattr(pool, "checkedin") and hasattr(pool, "overflow"):
            count = GaugeMetricFamily(
                "db_client_connection_count", "Connections of the pool.", labels=["pool", "state"]
            )
            count.add_metric([*name, "used"], pool.checkedout())
            count.add_metric([*name, "idle"], pool.checkedin())
            yield count
            size = GaugeMetricFamily("db_client_connection_pool_size", "Connections kept open.", labels=["pool"])
            size.add_metric(name, pool.size())
            yield size
            overflow = GaugeMetricFamily(
                "db_client_connection_overflow", "Connections open beyond the pool's size.", labels=["pool"]
            )
            overflow.add_metric(name, max(0, pool.overflow()))
            yield overflow
        with self._lock:
            self._count()
            waits, waited, timeouts = list(self._waits), self._waited, self._timeouts
        total, buckets = 0, []
        for bound, number in zip([*map(str, _WAIT_SECONDS), "+Inf"], waits, strict=True):
            total += number
            buckets.append((bound, float(total)))
        wait = HistogramMetricFamily(
            "db_client_connection_wait_seconds", "Time to get a connection from the pool.", labels=["pool"]
        )
        wait.add_metric(name, buckets, waited)
        yield wait
        timeout = CounterMetricFamily(
            "db_client_connection_timeouts", "Times no connection was free in time.", labels=["pool"]
        )
        timeout.add_metric(name, timeouts)
        yield timeout
