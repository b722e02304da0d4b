"""The ASGI middleware, with FastAPI and with bare ASGI applications."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from lean_tracing import TracingSettings, propagation, start_tracing
from lean_tracing.asgi import App, Message, Receive, Scope, Send, TracingMiddleware
from lean_tracing.propagation import Propagator
from lean_tracing.testing import Recorder

PROPAGATOR = Propagator()

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def _parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def _attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


class AsgiClient:
    """Requests to an application without a network."""

    def __init__(self, app: App) -> None:
        self._app = app

    def request(self, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://under.test") as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(send())

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return self.request("GET", path, headers)


def _scope(**changes: Any) -> Scope:
    return {
        "type": "http", "method": "GET", "path": "/", "scheme": "http", "http_version": "1.1",
        "server": ("under.test", 80), "headers": [], "root_path": "", **changes,
    }  # fmt: skip


async def _exchange(app: App, scope: Scope, *received: Message) -> list[Message]:
    sent: list[Message] = []
    coming = iter(received)

    async def receive() -> Message:
        return next(coming, {"type": "http.request", "body": b"", "more_body": False})

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


@pytest.fixture
def client(recorder: Recorder) -> AsgiClient:
    app, mounted = FastAPI(), FastAPI()

    @app.get("/things/{name}")
    def thing(name: str) -> dict[str, str | None]:
        with recorder.traces.span("work"):
            return {"name": name, "correlation": propagation.correlation_id()}

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("broken")

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(3):
                with recorder.traces.span("part"):
                    yield b"part"

        return StreamingResponse(parts())

    @app.get("/late")
    async def late(tasks: BackgroundTasks) -> None:
        def background() -> None:
            with recorder.traces.span("background"):
                pass

        tasks.add_task(background)

    @app.get("/api/health/live")
    def live() -> None:
        with recorder.traces.span("probe"):
            pass

    @mounted.get("/items/{item}")
    def item(item: str) -> str:
        return item

    app.mount("/sub", mounted)
    app.mount("/numbers/{number:int}", mounted)
    app.mount("/files/{rest:path}/in", mounted)
    app.mount("/same/{item}", mounted)
    app.mount("/tenants/{tenant}", mounted)
    return AsgiClient(TracingMiddleware(app, recorder.traces, excluded=["/api/health"]))


def test_request_span_continues_the_callers_trace(recorder: Recorder, client: AsgiClient) -> None:
    answer = client.get("/things/ada@example.com", headers={"traceparent": TRACEPARENT, "x-correlation-id": "c-1"})
    assert answer.json()["correlation"] == "c-1"
    assert answer.headers["x-correlation-id"] == "c-1"
    span = recorder.one("GET /things/{name}")
    assert answer.headers["traceparent"] == f"00-{TRACE}-{trace.format_span_id(span.context.span_id)}-01"
    assert span.kind is SpanKind.SERVER
    assert _parent(span) == int("b7ad6b7169203331", 16)
    assert _attributes(span)["http.route"] == "/things/{name}"
    assert _attributes(span)["http.response.status_code"] == 200
    assert _attributes(span)["network.protocol.version"] == "1.1"
    assert _attributes(span)["user_agent.original"].startswith("python-httpx/")
    assert _parent(recorder.one("work")) == span.context.span_id
    assert "ada@example.com" not in span.to_json()


def test_request_without_context_begins_a_trace_and_its_id_correlates(recorder: Recorder, client: AsgiClient) -> None:
    answer = client.get("/things/x", headers={"traceparent": "garbage"})
    span = recorder.one("GET /things/{name}")
    assert span.parent is None
    assert answer.headers["x-correlation-id"] == trace.format_trace_id(span.context.trace_id)


def test_unhandled_error_fails_the_span(recorder: Recorder, client: AsgiClient) -> None:
    assert client.get("/broken").status_code == 500
    span = recorder.one("GET /broken")
    assert span.status.status_code is StatusCode.ERROR
    assert _attributes(span)["http.response.status_code"] == 500
    assert _attributes(span)["error.type"] == "RuntimeError"
    assert [event.name for event in span.events] == ["exception"]


def test_unmatched_path_and_made_up_method_make_no_new_names(recorder: Recorder, client: AsgiClient) -> None:
    assert client.get("/nowhere/4711").status_code == 404
    assert client.request("BREW", "/nowhere/4711").status_code == 404
    assert {span.name for span in recorder.spans()} == {"GET", "HTTP"}
    assert _attributes(recorder.one("HTTP"))["http.request.method_original"] == "BREW"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_methods_without_a_handler_are_spans_of_their_route(
    recorder: Recorder, client: AsgiClient, method: str
) -> None:
    assert client.request(method, "/things/x").status_code == 405
    (span,) = recorder.spans()
    assert span.name.startswith(method)
    assert "/things/x" not in span.name
    assert span.status.status_code is StatusCode.UNSET, "the caller's mistake is no error of the server"


def test_excluded_paths_make_no_span_nor_does_what_they_call(recorder: Recorder, client: AsgiClient) -> None:
    assert client.get("/api/health/live").status_code == 200
    assert client.get("/api/healthy").status_code == 404
    assert [span.name for span in recorder.spans()] == ["GET"]


def test_excluded_paths_below_a_servers_root_path(recorder: Recorder) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    scope = _scope(path="/gateway/api/metrics", root_path="/gateway")
    asyncio.run(_exchange(TracingMiddleware(app, recorder.traces, excluded=["/api/metrics"]), scope))
    assert recorder.spans() == []


def test_route_of_a_mounted_application_has_its_mount_before_it(recorder: Recorder, client: AsgiClient) -> None:
    assert client.get("/sub/items/7").json() == "7"
    assert client.get("/tenants/ada/items/7").json() == "7"
    assert [span.name for span in recorder.spans()] == [
        "GET /sub/items/{item}", "GET /tenants/{tenant}/items/{item}",
    ]  # fmt: skip


def test_no_text_of_a_client_becomes_part_of_a_name(recorder: Recorder, client: AsgiClient) -> None:
    paths = [f"/{mount}/items/7" for n in range(100) for mount in (
        f"numbers/{'0' * n}7", f"files/a{n}/b/in", f"same/s{n}", f"tenants/t{n}",
    )]  # fmt: skip
    for path in paths:
        assert client.get(path).json() == "7", path
    names = {span.name for span in recorder.spans()}
    assert {
        "GET /{number}/items/{item}",
        "GET /{rest}/items/{item}",
        "GET /tenants/{tenant}/items/{item}",
        "GET /{mount}/items/{item}",
    } <= names
    assert len(names) < 75, "the parameters of the mount and of its route have one name: as few as are kept"


def test_known_methods_can_be_set() -> None:
    settings = TracingSettings.from_env({"OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS": "GET, PURGE"})
    exporter = InMemorySpanExporter()
    tracing = start_tracing(settings, exporter=exporter)

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    for method in ("GET", "PURGE", "get", "POST", "Purge"):
        asyncio.run(_exchange(TracingMiddleware(app, tracing.traces), _scope(method=method)))
    tracing.shutdown()
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["GET", "PURGE", "HTTP", "HTTP", "HTTP"]
    assert [_attributes(span).get("http.request.method_original") for span in spans] == [
        None, None, "get", "POST", "Purge",
    ]  # fmt: skip


def test_span_of_a_stream_lasts_to_its_last_byte(recorder: Recorder, client: AsgiClient) -> None:
    assert client.get("/stream").content == b"part" * 3
    span = recorder.one("GET /stream")
    parts = [part for part in recorder.spans() if part.name == "part"]
    assert len(parts) == 3
    assert all(_parent(part) == span.context.span_id for part in parts)
    assert (span.end_time or 0) >= max(part.end_time or 0 for part in parts)


def test_background_task_is_in_the_trace_but_not_in_the_time(recorder: Recorder, client: AsgiClient) -> None:
    client.get("/late")
    span, background = recorder.one("GET /late"), recorder.one("background")
    assert _parent(background) == span.context.span_id
    assert (span.end_time or 0) <= (background.start_time or 0)


def test_error_after_the_response_began_is_recorded(recorder: Recorder) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("torn")

    with pytest.raises(RuntimeError):
        asyncio.run(_exchange(TracingMiddleware(app, recorder.traces), _scope()))
    span = recorder.one("GET")
    assert span.status.status_code is StatusCode.ERROR
    assert _attributes(span)["http.response.status_code"] == 200
    assert [event.name for event in span.events] == ["exception"]


def test_client_that_leaves_is_no_error_of_the_server(recorder: Recorder) -> None:
    class Gone(OSError):
        pass

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert (await receive())["type"] == "http.disconnect"
        raise Gone

    with pytest.raises(Gone):
        asyncio.run(_exchange(TracingMiddleware(app, recorder.traces), _scope(), {"type": "http.disconnect"}))
    span = recorder.one("GET")
    assert span.status.status_code is StatusCode.UNSET
    assert _attributes(span)["error.type"] == "client_disconnected"


def test_disconnect_after_the_whole_answer_hides_no_error(recorder: Recorder) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"sorry"})
        assert (await receive())["type"] == "http.disconnect"
        raise RuntimeError("the reason")

    with pytest.raises(RuntimeError):
        asyncio.run(_exchange(TracingMiddleware(app, recorder.traces), _scope(), {"type": "http.disconnect"}))
    span = recorder.one("GET")
    assert span.status.status_code is StatusCode.ERROR
    assert _attributes(span)["error.type"] == "RuntimeError"


@pytest.mark.parametrize("limit", [1024, 2048, 8192])
@pytest.mark.parametrize("shift", [3, 9, 15])
def test_no_part_of_a_secret_shows_where_a_long_path_is_cut(recorder: Recorder, limit: int, shift: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("early")

    address = "/ada.lovelace@example.com"
    # The long secret in front is hidden, so that the text after it is within the limit.
    path = ("/token=" + "x" * (limit - 20) + " /").ljust(limit - shift, "y") + address + "/z" * 9000
    headers = [(b"user-agent", path.encode())]
    scope = _scope(path=path, method=f"GET{path}", headers=headers)
    with pytest.raises(RuntimeError):
        asyncio.run(_exchange(TracingMiddleware(app, recorder.traces), scope))
    attributes = _attributes(recorder.one("HTTP"))
    for key, length in (("url.path", 1024), ("user_agent.original", 256), ("http.request.method_original", 32)):
        assert "ada." not in attributes[key]
        assert "xxx" not in attributes[key]
        assert len(attributes[key]) <= length


def test_error_before_any_response_keeps_what_the_request_was(recorder: Recorder) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("early")

    with pytest.raises(RuntimeError):
        asyncio.run(_exchange(TracingMiddleware(app, recorder.traces), _scope(path="/early")))
    attributes = _attributes(recorder.one("GET"))
    assert (attributes["url.path"], attributes["http.request.method"]) == ("/early", "GET")
    assert attributes["error.type"] == "RuntimeError"


@pytest.mark.parametrize(("path", "kept"), [("/kept/1", True), ("/other", False)])
def test_sampling_rules_see_the_request(recorder: Recorder, path: str, kept: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    chosen = TracingSettings(sampling_rate=0.0, sampling_rules="GET /kept/*=1;/kept/*=0")
    tracing = start_tracing(chosen, exporter=recorder.exporter)
    (start, _) = asyncio.run(_exchange(TracingMiddleware(app, tracing.traces), _scope(path=path)))
    assert tracing.flush()
    flags = int(dict(start["headers"])[b"traceparent"][-2:], 16)
    assert flags & 1 == kept
    assert [_attributes(span)["url.path"] for span in recorder.spans()] == ([path] if kept else [])
    tracing.shutdown()


def test_application_that_never_answers_still_ends_its_span(recorder: Recorder) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        return

    asyncio.run(_exchange(TracingMiddleware(app, recorder.traces), _scope()))
    assert recorder.one("GET").end_time


def test_messages_of_the_application_are_left_as_they_are(recorder: Recorder) -> None:
    start = {"type": "http.response.start", "status": 204, "headers": [(b"a", b"b")]}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start)
        await send({"type": "http.response.body"})

    traced = TracingMiddleware(app, recorder.traces)
    for _ in range(2):
        sent = asyncio.run(_exchange(traced, _scope()))
        assert sorted(name for name, _ in sent[0]["headers"]) == [b"a", b"traceparent", b"x-correlation-id"]
    assert start["headers"] == [(b"a", b"b")]


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_other_protocols_pass_untouched(recorder: Recorder, kind: str) -> None:
    passed: list[tuple[object, ...]] = []

    async def app(*arguments: object) -> None:
        passed.append(arguments)

    arguments: tuple[Any, ...] = ({"type": kind}, object(), object())
    asyncio.run(TracingMiddleware(app, recorder.traces)(*arguments))
    assert passed == [arguments]
    assert recorder.spans() == []


def test_disabled_tracing_still_correlates() -> None:
    tracing = start_tracing(TracingSettings(enabled=False))
    received: list[str | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        received.append(PROPAGATOR.inject().get("traceparent"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    traced = TracingMiddleware(app, tracing.traces)
    (start, _) = asyncio.run(_exchange(traced, _scope(headers=[(b"traceparent", TRACEPARENT.encode())])))
    assert start["headers"] == [(b"x-correlation-id", TRACE.encode())]
    (start, _) = asyncio.run(_exchange(traced, _scope()))
    assert [name for name, _ in start["headers"]] == [b"x-correlation-id"]
    assert received == [TRACEPARENT, None]
    tracing.shutdown()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.text(min_size=1),
    path=st.text().map("/{}".format),
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"traceparent", b"tracestate", b"baggage", b"x-correlation-id", b"user-agent"])
            | st.binary(),
            st.binary(),
        )
    ),
)
def test_no_request_is_lost(recorder: Recorder, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    scope = _scope(method=method, path=path, headers=headers)
    start, _ = asyncio.run(_exchange(TracingMiddleware(app, recorder.traces), scope))
    for name, value in start["headers"]:
        assert name in (b"traceparent", b"x-correlation-id")
        assert value.isascii()
        assert value.decode().isprintable()


def test_endless_paths_and_agents_are_bounded(recorder: Recorder, client: AsgiClient) -> None:
    client.get("/aaaaa" * 10_000 + "/ada@example.com", headers={"user-agent": "ada@example.com " + "x/1 " * 1250})
    (span,) = recorder.spans()
    assert len(_attributes(span)["url.path"]) == 1024
    assert len(_attributes(span)["user_agent.original"]) == 256
    assert "ada@example.com" not in span.to_json()


def test_an_endless_word_is_hidden_as_it_may_be_the_beginning_of_an_address(
    recorder: Recorder, client: AsgiClient
) -> None:
    client.get("/" + "a" * 60_000)
    (span,) = recorder.spans()
    assert _attributes(span)["url.path"] == "/[redacted] …[cut]"
