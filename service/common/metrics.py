"""Prometheus metrics every service has, and their endpoint."""

from __future__ import annotations

import time

from fastapi import APIRouter, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from service.tracing.asgi import App, Message, Receive, Scope, Send

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """A service's own registry, so that several services (in a test) do not share one."""

    def __init__(self) -> None:
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
        self.lag = Gauge(
            "kafka_consumer_lag_messages",
            "Messages behind the last one handled in its partition.",
            ("topic", "partition"),
            registry=self.registry,
        )
        self.produced = Counter(
            "kafka_messages_produced", "Messages sent, by outcome.", ("topic", "outcome"), registry=self.registry
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
        @router.get("/api/metrics", response_class=Response, summary="Metrics in Prometheus' text format")
        def metrics() -> Response:
            return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

        return router


class MetricsMiddleware:
    """Counts and times requests by route template; what matched no route is counted as `unmatched`."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

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
            # A made-up method must not make a time series.
            method = scope["method"] if matched else "any"
            self._metrics.http_requests.labels(method, route, str(status)).inc()
            self._metrics.http_duration.labels(method, route).observe(time.perf_counter() - started)
