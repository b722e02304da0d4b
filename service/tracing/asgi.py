"""ASGI middleware: one SERVER span a request. Hand-written: the stock one makes three and costs four times more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from service.tracing import attributes as keys
from service.tracing import propagation
from service.tracing.spans import SpanScope, TraceManager

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

EXCLUDED_PATHS = ("/api/health", "/api/metrics")
# Names of spans must stay few: a method a client made up is not one of them.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})


class TracingMiddleware:
    """Wraps an ASGI application, outermost, so that it sees the status of unhandled errors as well.

    The caller gets `traceparent` and `x-correlation-id` back. Excluded paths (each with all below it) make no span, and
    neither does anything called from them. Websockets and lifespan pass untouched.
    """

    def __init__(self, app: App, traces: TraceManager, excluded: tuple[str, ...] = EXCLUDED_PATHS) -> None:
        self._app = app
        self._traces = traces
        self._excluded = frozenset(excluded)
        self._excluded_below = tuple(f"{path}/" for path in excluded)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if path in self._excluded or path.startswith(self._excluded_below):
            with self._traces.suppressed():
                await self._app(scope, receive, send)
            return

        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        host, port = scope.get("server") or ("", None)
        span_attributes: dict[str, str | int] = {
            keys.HTTP_REQUEST_METHOD: method,
            keys.URL_PATH: self._traces.masker.text(path),
            keys.URL_SCHEME: scope.get("scheme", "http"),
            keys.SERVER_ADDRESS: host,
        }
        if port:
            span_attributes[keys.SERVER_PORT] = port
        context = propagation.from_http(scope["headers"])
        span = self._traces.start(
            "HTTP" if method == "_OTHER" else method, kind=SpanKind.SERVER, attributes=span_attributes, context=context
        )
        context = propagation.ensure_correlation_id(trace.set_span_in_context(span, context))
        returned = [
            (name.encode("ascii"), value.encode("ascii"))
            for name, value in propagation.inject(context).items()
            if name in (propagation.TRACEPARENT, propagation.CORRELATION_HEADER)
        ]

        async def send_with_context(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *returned]
                self._responded(span, scope, method, message["status"])
            await send(message)

        with SpanScope(self._traces, span, context):
            await self._app(scope, receive, send_with_context)

    @staticmethod
    def _responded(span: Span, scope: Scope, method: str, status: int) -> None:
        if not span.is_recording():
            return
        span.set_attribute(keys.HTTP_RESPONSE_STATUS_CODE, status)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
            span.set_attribute(keys.ERROR_TYPE, str(status))
        # Known only now: routing happens inside the application.
        if route := getattr(scope.get("route"), "path", None):
            span.set_attribute(keys.HTTP_ROUTE, route)
            span.update_name(f"{'HTTP' if method == '_OTHER' else method} {route}")
