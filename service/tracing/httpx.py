"""Tracing of httpx clients: transports that make one CLIENT span a request sent, each redirect a request of its own."""

from __future__ import annotations

import httpx
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from service.tracing import attributes as keys
from service.tracing import propagation
from service.tracing.spans import TraceManager


class _Requests:
    """What the two transports share. trusted: see `propagation.inject`."""

    def __init__(self, traces: TraceManager, trusted: bool) -> None:
        self._traces = traces
        self._trusted = trusted

    def begin(self, request: httpx.Request) -> Span:
        url = request.url
        attributes: dict[str, str | int] = {
            keys.HTTP_REQUEST_METHOD: request.method,
            keys.URL_FULL: self._traces.masker.url(str(url)),
            keys.SERVER_ADDRESS: url.host,
            keys.SERVER_PORT: url.port or (443 if url.scheme == "https" else 80),
        }
        span = self._traces.start(request.method, kind=SpanKind.CLIENT, attributes=attributes)
        request.headers.update(propagation.inject(trace.set_span_in_context(span), trusted=self._trusted))
        return span

    def succeed(self, span: Span, response: httpx.Response) -> None:
        span.set_attribute(keys.HTTP_RESPONSE_STATUS_CODE, response.status_code)
        if response.status_code >= 400:
            span.set_status(Status(StatusCode.ERROR))
            span.set_attribute(keys.ERROR_TYPE, str(response.status_code))
        span.end()

    def fail(self, span: Span, error: BaseException) -> None:
        self._traces.fail(span, error)
        span.end()


class TracingTransport(httpx.BaseTransport):
    """For `httpx.Client(transport=...)`; wraps another transport, a plain HTTP one by default."""

    def __init__(
        self, traces: TraceManager, transport: httpx.BaseTransport | None = None, *, trusted: bool = True
    ) -> None:
        self._transport = transport or httpx.HTTPTransport()
        self._requests = _Requests(traces, trusted)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The span lasts until the response's headers are there; the body may still be coming."""
        span = self._requests.begin(request)
        try:
            response = self._transport.handle_request(request)
        except BaseException as error:
            self._requests.fail(span, error)
            raise
        self._requests.succeed(span, response)
        return response

    def close(self) -> None:
        """Closes the transport underneath."""
        self._transport.close()


class AsyncTracingTransport(httpx.AsyncBaseTransport):
    """For `httpx.AsyncClient(transport=...)`; wraps another transport, a plain HTTP one by default."""

    def __init__(
        self, traces: TraceManager, transport: httpx.AsyncBaseTransport | None = None, *, trusted: bool = True
    ) -> None:
        self._transport = transport or httpx.AsyncHTTPTransport()
        self._requests = _Requests(traces, trusted)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As `TracingTransport.handle_request`."""
        span = self._requests.begin(request)
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException as error:
            self._requests.fail(span, error)
            raise
        self._requests.succeed(span, response)
        return response

    async def aclose(self) -> None:
        """Closes the transport underneath."""
        await self._transport.aclose()
