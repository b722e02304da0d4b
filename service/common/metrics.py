"""Prometheus metrics every service has, and their endpoint."""

from __future__ import annotations

import time
from typing import Final

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from service.common.stored import StoredTraces
from service.tracing import TraceManager
from service.tracing.asgi import App, Message, Receive, Scope, Send

_EVERY: Final = StoredTraces()
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """A service's own registry, so that several services (in a test) do not share one."""

    def __init__(self, stored: StoredTraces = _EVERY) -> None:
        """`stored` decides which traces are named as examples."""
        self.stored = stored
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.http_requests = Counter(
            "http_server_requests", "HTTP requests.", ("method", "route", "status"), registry=self.registry
        )
        self.http_duration = Histogram(
            "http_server_request_duration_seconds",
            "Time to answer an HTTP request.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.consumed = Counter(
            "kafka_messages_consumed", "Messages handled, by outcome.", ("topic", "outcome"), registry=self.registry
        )
        self.processing = Histogram(
            "kafka_message_processing_seconds",
            "Time to handle a message.",
            ("topic",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.waited = Histogram(
            "kafka_message_wait_seconds",
            "Time from when a message was sent until its handling began, by the clocks of both machines.",
            ("topic",),
            buckets=(*_SECONDS, 30.0, 60.0, 300.0, 1800.0),
            registry=self.registry,
        )
        self.lag = Gauge(
            "kafka_consumer_lag_messages",
            "Messages behind the last one handled in its partition.",
            ("topic", "partition"),
            registry=self.registry,
        )
        self.partitions = Gauge(
            "kafka_consumer_partitions",
            "Partitions that this process consumes; 0 until the group has given it some.",
            ("topic",),
            registry=self.registry,
        )
        self.produced = Counter(
            "kafka_messages_produced", "Messages sent, by outcome.", ("topic", "outcome"), registry=self.registry
        )
        self.loop_failures = Counter(
            "background_loop_failures",
            "Failures that a loop beside the requests has survived.",
            ("loop",),
            registry=self.registry,
        )
        self.dependency_up = Gauge(
            "dependency_up",
            "1 where the last check of a dependency succeeded.",
            ("dependency",),
            registry=self.registry,
        )

    def router(self) -> APIRouter:
        """GET /api/metrics."""
        router = APIRouter(tags=["operations"])

        # Not async: a collector may ask the database, and must not hold up the event loop.
        @router.get(
            "/api/metrics",
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
