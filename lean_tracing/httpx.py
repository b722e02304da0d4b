"""Traces httpx clients: transports that make one CLIENT span for each request they send, redirects included."""

import httpx
from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

from lean_tracing import attributes as keys
from lean_tracing import propagation
from lean_tracing.cardinality import OTHER_METHOD
from lean_tracing.span import CLIENT
from lean_tracing.spans import TraceManager

_MAX_METHOD, _MAX_URL = 32, 2048
# httpx copies a request's extensions to the request that follows a redirect or repeats it with credentials.
_SENT = "tracing.sent"


class _Requests:
    """The common part of the two transports; `Propagator.inject` explains `trusted`."""

    def __init__(self, traces: TraceManager, trusted: bool) -> None:
        self._traces = traces
        self._trusted = trusted

    def begin(self, request: httpx.Request) -> Span:
        method = self._traces.method(request.method)
        span = self._traces.start(
            "HTTP" if method == OTHER_METHOD else method,
            kind=CLIENT,
            attributes=self._attributes(request, method) if self._traces.active else None,
        )
        for name in propagation.PROPAGATED:  # a redirected request has those of the one before
            request.headers.pop(name, None)
        context = trace.set_span_in_context(span)
        request.headers.update(self._traces.propagator.inject(context, trusted=self._trusted))
        return span

    def _attributes(self, request: httpx.Request, method: str) -> dict[str, str | int]:
        url = request.url
        redactor = self._traces.redactor
        attributes: dict[str, str | int] = {
            keys.HTTP_REQUEST_METHOD: method,
            keys.URL_FULL: redactor.url(str(url))[:_MAX_URL],
            keys.SERVER_ADDRESS: url.host,
            keys.SERVER_PORT: url.port or (443 if url.scheme == "https" else 80),
        }
        if method == OTHER_METHOD:
            attributes[keys.HTTP_REQUEST_METHOD_ORIGINAL] = redactor.text(request.method, _MAX_METHOD)
        sent = request.extensions.get(_SENT, 0)
        if sent:
            attributes[keys.HTTP_REQUEST_RESEND_COUNT] = sent
        request.extensions[_SENT] = sent + 1
        return attributes

    def succeed(self, span: Span, response: httpx.Response) -> None:
        if span.is_recording():
            attributes: dict[str, str | int] = {keys.HTTP_RESPONSE_STATUS_CODE: response.status_code}
            version = response.extensions.get("http_version")
            if isinstance(version, bytes):
                attributes[keys.NETWORK_PROTOCOL_VERSION] = version.decode("latin-1").removeprefix("HTTP/")
            if response.status_code >= 400:
                attributes[keys.ERROR_TYPE] = str(response.status_code)
                span.set_status(Status(StatusCode.ERROR))
            span.set_attributes(attributes)
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
        """Sends a request. The span ends with the headers of the response, before its body."""
        span = self._requests.begin(request)
        try:
            response = self._transport.handle_request(request)
        except BaseException as error:
            self._requests.fail(span, error)
            raise
        self._requests.succeed(span, response)
        return response

    def close(self) -> None:
        """Closes the wrapped transport."""
        self._transport.close()


class AsyncTracingTransport(httpx.AsyncBaseTransport):
    """For `httpx.AsyncClient(transport=...)`; wraps another transport, a plain HTTP one by default."""

    def __init__(
        self, traces: TraceManager, transport: httpx.AsyncBaseTransport | None = None, *, trusted: bool = True
    ) -> None:
        self._transport = transport or httpx.AsyncHTTPTransport()
        self._requests = _Requests(traces, trusted)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request in a span, as `TracingTransport.handle_request` does."""
        span = self._requests.begin(request)
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException as error:
            self._requests.fail(span, error)
            raise
        self._requests.succeed(span, response)
        return response

    async def aclose(self) -> None:
        """Closes the wrapped transport."""
        await self._transport.aclose()
