"""Prometheus metrics every service has, and their endpoint."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from contracts import http
from contracts import metrics as names
from service.common.stored import StoredTraces
from service.tracing import TraceManager
from service.tracing.asgi import App, Message, Receive, Scope, Send

_EVERY: Final = StoredTraces()
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_logger = logging.getLogger(__name__)


class _Guarded(Collector):
    """Metrics of a collector; none where it raises, so that it takes no others along."""

    def __init__(self, collector: Collector, failed: Callable[[], None]) -> None:
        self._collector = collector
        self._failed = failed
        self._name = type(collector).__name__
        self._fails = False

    def describe(self) -> Iterable[Metric]:
        """The names, where the collector tells them."""
        describe = getattr(self._collector, "describe", None)
        return describe() if describe else ()

    def collect(self) -> Iterable[Metric]:
        """All that the collector has; half of it would look like all."""
        try:
            metrics = list(self._collector.collect())
        except Exception:
            if not self._fails:
                _logger.exception("%s has no metrics", self._name)
            self._fails = True
            self._failed()
            return ()
        self._fails = False
        return metrics


class Registry(CollectorRegistry):
    """Where one collector raises, the metrics of all others are there nonetheless, and a counter says so."""

    def __init__(self) -> None:
        super().__init__()
        self._guards: dict[Collector, _Guarded] = {}
        failures = Counter(
            names.COLLECTION_FAILURES, "Scrapes without the metrics of a collector.", ("collector",), registry=None
        )
        self._failures = failures
        super().register(failures)

    def register(self, collector: Collector) -> None:
        """See `CollectorRegistry`."""
        name = type(collector).__name__
        guard = self._guards[collector] = _Guarded(collector, lambda: self._failures.labels(name).inc())
        super().register(guard)

    def unregister(self, collector: Collector) -> None:
        """See `CollectorRegistry`."""
        super().unregister(self._guards.pop(collector))


class Metrics:
    """A service's own registry, so that several services (in a test) do not share one."""

    def __init__(self, stored: StoredTraces = _EVERY) -> None:
        """`stored` decides which traces are named as examples."""
        self.stored = stored
        self.registry = Registry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.http_requests = Counter(
            names.HTTP_REQUESTS, "HTTP requests.", ("method", "route", "status"), registry=self.registry
        )
        self.http_duration = Histogram(
            names.HTTP_DURATION,
            "Time to answer an HTTP request.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.consumed = Counter(
            names.MESSAGES_CONSUMED, "Messages handled, by outcome.", ("topic", "outcome"), registry=self.registry
        )
        self.processing = Histogram(
            names.MESSAGE_PROCESSING,
            "Time to handle a message.",
            ("topic",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.waited = Histogram(
            names.MESSAGE_WAIT,
            "Time from when a message was sent until its handling began, by the clocks of both machines.",
            ("topic",),
            buckets=(*_SECONDS, 30.0, 60.0, 300.0, 1800.0),
            registry=self.registry,
        )
        self.lag = Gauge(
            names.CONSUMER_LAG,
            "Messages behind the last one handled in its partition.",
            ("topic", "partition"),
            registry=self.registry,
        )
        self.partitions = Gauge(
            names.CONSUMER_PARTITIONS,
            "Partitions that this process consumes; 0 until the group has given it some.",
            ("topic",),
            registry=self.registry,
        )
        self.produced = Counter(
            names.MESSAGES_PRODUCED, "Messages sent, by outcome.", ("topic", "outcome"), registry=self.registry
        )
        self.loop_failures = Counter(
            names.BACKGROUND_FAILURES,
            "Failures that a loop beside the requests has survived.",
            ("loop",),
            registry=self.registry,
        )
        self.dependency_up = Gauge(
            names.DEPENDENCY_UP,
            "1 where the last check of a dependency succeeded.",
            ("dependency",),
            registry=self.registry,
        )

    def router(self) -> APIRouter:
        """GET /api/metrics."""
        router = APIRouter(tags=["operations"])

        # Not async: a collector may ask the database, and must not hold up the event loop.
        @router.get(
            http.METRICS,
            response_class=Response,
            summary="Metrics in Prometheus' text format, or in OpenMetrics, which has exemplars, to whom accepts that",
            responses={200: {"content": {name: {} for name in ("text/plain", "application/openmetrics-text")}}},
        )
        def metrics(request: Request) -> Response:
            encode, content_type = choose_encoder(request.headers.get("accept", ""))
            return Response(encode(self.registry), headers={"Content-Type": content_type})

        return router


class MetricsMiddleware:
    """Counts and times requests by route template; what matched no route is counted as `unmatched`."""

    def __init__(self, app: App, metrics: Metrics, traces: TraceManager) -> None:
        self._app = app
        self._method = traces.method
        self._metrics = metrics
        # Finding a metric by its labels costs more than counting; there are as many as routes and statuses.
        self._bound: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def _bind(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        bound = (
            self._metrics.http_requests.labels(method, route, str(status)),
            self._metrics.http_duration.labels(method, route),
        )
        self._bound[method, route, status] = bound
        return bound

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            matched = getattr(scope.get("route"), "path", None)
            route = matched or "unmatched"
            # A client can make up any number of methods; each would make time series of its own.
            method = self._method(scope["method"]) if matched else "any"
            bound = self._bound.get((method, route, status)) or self._bind(method, route, status)
            bound[0].inc()
            seconds = time.perf_counter() - started
            bound[1].observe(seconds, self._metrics.stored.exemplar(seconds))
