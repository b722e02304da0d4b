"""Builds a service's ASGI application: routes, middlewares, and the parts that start and stop with it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from fastapi import APIRouter, FastAPI

from contracts import http
from lean_tracing import Tracing
from lean_tracing.asgi import App, TracingMiddleware
from service.common import problems
from service.common.bodies import BodyLimits
from service.common.metrics import Metrics, MetricsMiddleware


class Part(Protocol):
    """A part that runs in the background of the requests, such as a consumer."""

    def start(self) -> None:
        """Starts. Does not wait for dependencies."""

    def stop(self) -> None:
        """Stops, within a limited time."""


def build_application(
    *,
    title: str,
    routers: Sequence[APIRouter],
    metrics: Metrics,
    parts: Sequence[Part],
    tracing: Tracing,
    close: Callable[[], Awaitable[None]] | None = None,
) -> App:
    """The ASGI application. Parts start in order and stop in reverse; the last spans are sent after all have stopped.

    close: Awaited at the end; closes what belongs to the event loop.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for part in parts:
            part.start()
        try:
            yield
        finally:
            for part in reversed(parts):
                await asyncio.to_thread(part.stop)
            if close is not None:
                await close()
            await asyncio.to_thread(tracing.shutdown)

    metrics.registry.register(tracing.statistics)
    app = FastAPI(title=title, lifespan=lifespan)
    problems.install(app)
    for router in (*routers, metrics.router()):
        app.include_router(router)
    measured = MetricsMiddleware(BodyLimits(app), metrics, tracing.traces)
    return TracingMiddleware(measured, tracing.traces, excluded=(http.HEALTH, http.METRICS))
