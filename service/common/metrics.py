"""The Prometheus metrics that all services have, and their endpoint."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from contracts import http
from contracts import service_metrics as names
from contracts.tasks import SYNTHETIC_TEST
from lean_tracing import TraceManager
from lean_tracing.asgi import App, Message, Receive, Scope, Send
from service.common.stored import StoredTraces

_ALL_TRACES: Final = StoredTraces()
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_UNMATCHED: Final = "unmatched"
_SYNTHETIC_AGENTS: Final = frozenset(agent.encode() for agent in http.SYNTHETIC_AGENTS)

_logger = logging.getLogger(__name__)


class _GuardedCollector(Collector):
    """The metrics of a collector; none if it raises, so that the metrics of other collectors are still scraped."""

    def __init__(self, collector: Collector, on_failure: Callable[[], None]) -> None:
        self._collector = collector
        self._on_failure = on_failure
        self._name = type(collector).__name__
        self._has_failed = False

    def describe(self) -> Iterable[Metric]:
        """The names, if the collector describes itself."""
        describe = getattr(self._collector, "describe", None)
        return describe() if describe else ()

    def collect(self) -> Iterable[Metric]:
        """All metrics of the collector or none: a part of them would look like all."""
        try:
            metrics = list(self._collector.collect())
        except Exception:
            if not self._has_failed:
                _logger.exception("%s has no metrics", self._name)
            self._has_failed = True
            self._on_failure()
            return ()
        self._has_failed = False
        return metrics


class Registry(CollectorRegistry):
    """A registry in which a collector that raises does not affect the others; a counter shows the failure."""

    def __init__(self) -> None:
        super().__init__()
        self._guards: dict[Collector, _GuardedCollector] = {}
        self._failures = Counter(
            names.COLLECTION_FAILURES,
            "Scrapes that lack the metrics of a collector because it failed.",
            ("collector",),
            registry=None,
        )
        super().register(self._failures)

    def register(self, collector: Collector) -> None:
        name = type(collector).__name__
        guard = self._guards[collector] = _GuardedCollector(collector, lambda: self._failures.labels(name).inc())
        super().register(guard)

    def unregister(self, collector: Collector) -> None:
        super().unregister(self._guards.pop(collector))


class Metrics:
    """The metrics of one service, in a registry of its own: several services can run in one process."""

    def __init__(self, stored: StoredTraces = _ALL_TRACES) -> None:
        """stored: decides which traces exemplars may name."""
        self.stored = stored
        self.registry = Registry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.http_requests = self._counter(
            names.HTTP_REQUESTS, "HTTP requests.", "method", "route", "status", names.SYNTHETIC
        )
        self.http_duration = self._histogram(
            names.HTTP_DURATION, "Time to answer an HTTP request.", _SECONDS, "method", "route", names.SYNTHETIC
        )
        self.produced = self._counter(names.MESSAGES_PRODUCED, "Messages sent, by outcome.", "topic", "outcome")
        self.consumed = self._counter(names.MESSAGES_CONSUMED, "Messages handled, by outcome.", "topic", "outcome")
        self.processing = self._histogram(names.MESSAGE_PROCESSING, "Time to handle a message.", _SECONDS, "topic")
        self.waited = self._histogram(
            names.MESSAGE_WAIT,
            "Time between the sending of a message and the start of its handling, by the clocks of both machines.",
            (*_SECONDS, 30.0, 60.0, 300.0, 1800.0),
            "topic",
        )
        self.lag = self._gauge(
            names.CONSUMER_LAG, "Messages after the last handled one in its partition.", "topic", "partition"
        )
        self.partitions = self._gauge(
            names.CONSUMER_PARTITIONS, "Partitions that are assigned to this process; 0 until the first one.", "topic"
        )
        self._under_replicated = self._gauge(
            names.UNDER_REPLICATED_PARTITIONS,
            "Partitions of Kafka of which a replica is not in sync; NaN while no broker answers.",
        )
        self._offline = self._gauge(
            names.OFFLINE_PARTITIONS, "Partitions of Kafka without a leader; NaN while no broker answers."
        )
        self.set_replication(math.nan, math.nan)
        self.loop_failures = self._counter(
            names.BACKGROUND_FAILURES, "Failures of a background loop, which goes on.", "loop"
        )
        self.dependency_up = self._gauge(
            names.DEPENDENCY_UP, "1 if the last check of a dependency succeeded.", "dependency"
        )

    def set_replication(self, under_replicated: float, offline: float) -> None:
        """Sets the numbers of Kafka's partitions without all replicas, and without a leader; NaN if not known."""
        self._under_replicated.set(under_replicated)
        self._offline.set(offline)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(name, documentation, labels, registry=self.registry)

    def _histogram(self, name: str, documentation: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, documentation, labels, buckets=buckets, registry=self.registry)

    def router(self) -> APIRouter:
        """GET /api/metrics."""
        router = APIRouter(tags=["operations"])

        # Not async: a collector may query the database, which must not block the event loop.
        @router.get(
            http.METRICS,
            response_class=Response,
            summary="Metrics in Prometheus' text format, or with exemplars in OpenMetrics, if the client accepts it",
            responses={200: {"content": {name: {} for name in ("text/plain", "application/openmetrics-text")}}},
        )
        def metrics(request: Request) -> Response:
            encode, content_type = choose_encoder(request.headers.get("accept", ""))
            return Response(encode(self.registry), headers={"Content-Type": content_type})

        return router


def _synthetic(scope: Scope) -> str:
    """Return the value of the label `synthetic`: of a test of the stack, `test`."""
    for name, value in scope["headers"]:
        if name == b"user-agent":
            return SYNTHETIC_TEST if value in _SYNTHETIC_AGENTS else ""
    return ""


class MetricsMiddleware:
    """Counts and times requests by route template; a request without a route counts as `unmatched`."""

    def __init__(self, app: App, metrics: Metrics, traces: TraceManager) -> None:
        self._app = app
        self._method = traces.method
        self._metrics = metrics
        # Finding a series by its labels costs more than counting. The number of routes and statuses limits this.
        self._series: dict[tuple[str, str, int, str], tuple[Counter, Histogram]] = {}

    def _bind(self, method: str, route: str, status: int, synthetic: str) -> tuple[Counter, Histogram]:
        series = (
            self._metrics.http_requests.labels(method, route, str(status), synthetic),
            self._metrics.http_duration.labels(method, route, synthetic),
        )
        self._series[method, route, status, synthetic] = series
        return series

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        finally:
            template = getattr(scope.get("route"), "path", None)
            route = template or _UNMATCHED
            # A client can invent any number of methods; each would make new series.
            method = self._method(scope["method"]) if template else "any"
            key = method, route, status, _synthetic(scope)
            requests, duration = self._series.get(key) or self._bind(*key)
            requests.inc()
            seconds = time.perf_counter() - started
            duration.observe(seconds, self._metrics.stored.exemplar(seconds))
