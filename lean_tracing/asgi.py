"""ASGI middleware with one SERVER span a request. OpenTelemetry's own makes three, and costs four times as much."""

import functools
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode

from lean_tracing import attributes as keys
from lean_tracing import propagation
from lean_tracing.cardinality import OTHER_METHOD, CardinalityLimit
from lean_tracing.current import attach, detach
from lean_tracing.shared_attributes import SharedAttributes
from lean_tracing.span import SERVER
from lean_tracing.spans import TraceManager

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CLIENT_DISCONNECTED = "client_disconnected"
_MAX_MOUNTS = 64
_MAX_METHOD, _MAX_AGENT, _MAX_PATH = 32, 256, 1024
_CORRELATION = propagation.CORRELATION_HEADER.encode()
# Stands for all methods that are not known.
_OTHER_NAME = "HTTP"


class TracingMiddleware:
    """Wraps an ASGI application. Make it the outermost, so that it sees the status of unhandled errors as well.

    The span ends when the last byte of the body is passed on, so that work in the background after a response is not in
    its time. After a 5xx it waits for the exception that may follow. The response has the headers `traceparent` and
    `x-correlation-id`. Excluded paths and all paths below them make no span, and neither does anything that they call.
    Websockets and lifespan events pass unchanged.
    """

    def __init__(self, app: App, traces: TraceManager, excluded: Sequence[str] = ()) -> None:
        self._app = app
        self._traces = traces
        self._excluded = frozenset(excluded)
        self._excluded_below = tuple(f"{path}/" for path in excluded)
        # A service is called by few programs, and redacting the name of one costs more than everything else here.
        self._of_client = functools.lru_cache(maxsize=256)(self._describe_client)
        self._mounts = CardinalityLimit(_MAX_MOUNTS, "/{mount}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        local = path[len(root) :] if root and path.startswith(root) else path
        if local in self._excluded or local.startswith(self._excluded_below):
            with self._traces.suppressed():
                await self._app(scope, receive, send)
            return

        traces = self._traces
        context = traces.propagator.from_http(scope["headers"])
        if not traces.active:
            await self._call_without_span(scope, receive, send, context)
            return

        name, shared = self._described(scope)
        attributes = {**shared, keys.URL_PATH: self._path(path)} if traces.sampled_by_attributes else shared
        span = traces.start(name, kind=SERVER, attributes=attributes, context=context)
        if span.is_recording():
            if not traces.sampled_by_attributes:  # a span that is not recorded does without
                span.set_attribute(keys.URL_PATH, self._path(path))
            if name == _OTHER_NAME:
                original = traces.redactor.text(scope["method"], _MAX_METHOD)
                span.set_attribute(keys.HTTP_REQUEST_METHOD_ORIGINAL, original)
        context, returned = traces.propagator.answer(context, span)
        exchange = _Exchange(scope, receive, send, span, name, returned, self._mounts)
        token = attach(context)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            if not exchange.disconnected:  # after a disconnect the application's exception is not its failure
                traces.fail(span, error)
            raise
        finally:
            detach(token)
            exchange.end()

    async def _call_without_span(self, scope: Scope, receive: Receive, send: Send, context: Context) -> None:
        context = propagation.ensure_correlation_id(context)
        returned = [(_CORRELATION, (propagation.correlation_id(context) or "").encode())]
        exchange = _Exchange(scope, receive, send, trace.INVALID_SPAN, "", returned, self._mounts)
        token = attach(context)
        try:
            await self._app(scope, receive, exchange.send)
        finally:
            detach(token)

    def _described(self, scope: Scope) -> tuple[str, SharedAttributes]:
        """The name of a request's span, without its route, and the attributes that its client's requests share."""
        address, port = scope.get("server") or ("", None)
        agent = _header(scope["headers"], b"user-agent")
        return self._of_client(
            scope["method"], scope.get("scheme", "http"), address, port, scope.get("http_version", "1.1"), agent
        )

    def _describe_client(
        self, method: str, scheme: str, address: str, port: int | None, version: str, agent: bytes | None
    ) -> tuple[str, SharedAttributes]:
        method = self._traces.method(method)
        attributes: dict[str, str | int] = {
            keys.HTTP_REQUEST_METHOD: method,
            keys.URL_SCHEME: scheme,
            keys.SERVER_ADDRESS: address,
            keys.NETWORK_PROTOCOL_VERSION: version,
        }
        if port:
            attributes[keys.SERVER_PORT] = port
        if agent:
            attributes[keys.USER_AGENT_ORIGINAL] = self._traces.redactor.text(agent.decode("latin-1"), _MAX_AGENT)
        return _OTHER_NAME if method == OTHER_METHOD else method, SharedAttributes(attributes)

    def _path(self, path: str) -> str:
        # The exporting thread redacts it. A longer one is cut, and redacted before, since half a secret has no form.
        return path if len(path) <= _MAX_PATH else self._traces.redactor.text(path, _MAX_PATH)


class _Exchange:
    """The messages between the server and the application during one request."""

    __slots__ = (
        "_complete",
        "_mount",
        "_mounts",
        "_name",
        "_receive",
        "_responded",
        "_returned",
        "_scope",
        "_send",
        "_span",
        "disconnected",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        span: Span,
        name: str,
        returned: list[tuple[bytes, bytes]],
        mounts: CardinalityLimit,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._span = span
        self._name = name
        self._returned = returned
        self._mounts = mounts
        self._mount: str = scope.get("root_path", "")
        self._responded = 0  # the status
        self._complete = False
        self.disconnected = False

    async def receive(self) -> Message:
        message = await self._receive()
        # Servers also send it if the application asks for more after its response; then the client did not leave early.
        if message["type"] == "http.disconnect" and not self._complete:
            self.disconnected = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self._respond(message["status"])
            # A copy, because the application may use its message again.
            return self._send({**message, "headers": [*message.get("headers", ()), *self._returned]})
        if self._responded and not message.get("more_body"):
            return self._send_last(message)
        return self._send(message)

    async def _send_last(self, message: Message) -> None:
        await self._send(message)
        self._complete = True
        if self._responded < 500:
            self.end()

    def _respond(self, status: int) -> None:
        self._responded = status
        span = self._span
        if not span.is_recording():
            return
        attributes: dict[str, str | int] = {keys.HTTP_RESPONSE_STATUS_CODE: status}
        # The route is known only now, because the application does the routing.
        if route := _route(self._scope, self._mount, self._mounts):
            attributes[keys.HTTP_ROUTE] = route
            span.update_name(f"{self._name} {route}")
        if status >= 500:
            attributes[keys.ERROR_TYPE] = str(status)
            span.set_status(Status(StatusCode.ERROR))
        span.set_attributes(attributes)

    def end(self) -> None:
        """Ends the span; a second call does nothing."""
        span = self._span
        if span.is_recording():
            if self.disconnected:
                span.set_attribute(keys.ERROR_TYPE, CLIENT_DISCONNECTED)
            span.end()


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    for header, value in headers:
        if header == name:
            return value
    return None


def _route(scope: Scope, mount: str, mounts: CardinalityLimit) -> str | None:
    """The template of the request's route, after that of the mounted application."""
    route: str | None = getattr(scope.get("route"), "path", None)
    root: str = scope.get("root_path", "")
    if not route or root == mount or not root.startswith(mount):
        return route
    # The scope holds the values of a mount's parameters, and not its template.
    parameters = {
        str(value): f"{{{name}}}"
        for name, value in scope.get("path_params", {}).items()
        if f"{{{name}}}" not in route and f"{{{name}:" not in route
    }
    parts = root[len(mount) :].split("/")
    if not parameters.keys() <= set(parts):
        # A converter has changed a value (`007` is 7), or it has slashes. The client's text must not become a name.
        return "".join(f"/{name}" for name in parameters.values()) + route
    # A parameter of the mount with the same name as one of the route cannot be distinguished from fixed text.
    return mounts("/".join(parameters.get(part, part) for part in parts)) + route
