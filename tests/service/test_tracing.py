"""The library's other parts: spans, ASGI, HTTP clients, logs, start and stop."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode

from service.tracing import TracingSettings, propagation, start_tracing
from service.tracing.asgi import App, TracingMiddleware
from service.tracing.httpx import TracingTransport
from service.tracing.logs import JsonFormatter
from tests.service.conftest import Recorder

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def _parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


# --- spans ------------------------------------------------------------------------------------------------------------


def test_span_nests_and_records_a_masked_error(recorder: Recorder) -> None:
    def fail() -> None:
        raise ValueError("no mailbox ada@example.com at http://user:pass@host/")

    with (
        pytest.raises(ValueError, match="no mailbox"),
        recorder.traces.span("outer") as outer,
        recorder.traces.span("inner"),
    ):
        fail()
    inner = recorder.one("inner")
    assert _parent(inner) == outer.get_span_context().span_id
    assert inner.status.status_code is StatusCode.ERROR
    assert inner.attributes is not None
    assert inner.attributes["error.type"] == "ValueError"
    assert [event.name for event in inner.events] == ["exception"]
    for secret in ("ada@example.com", "user:pass"):
        assert secret not in inner.to_json()


def test_traced_wraps_functions_and_coroutines(recorder: Recorder) -> None:
    @recorder.traces.traced("double")
    def double(number: int) -> int:
        return 2 * number

    @recorder.traces.traced()
    async def triple(number: int) -> int:
        await asyncio.sleep(0)
        assert trace.get_current_span().is_recording()
        return 3 * number

    assert double(2) == 4
    assert asyncio.run(triple(2)) == 6
    assert recorder.one("double").status.status_code is StatusCode.UNSET
    assert any("triple" in span.name for span in recorder.spans())


def test_async_spans_of_concurrent_tasks_keep_their_parents(recorder: Recorder) -> None:
    async def work(number: int) -> None:
        async with recorder.traces.span(f"outer {number}"):
            await asyncio.sleep(0)
            async with recorder.traces.span(f"inner {number}"):
                await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(work(1), work(2))

    asyncio.run(both())
    for number in (1, 2):
        assert _parent(recorder.one(f"inner {number}")) == recorder.one(f"outer {number}").context.span_id


def test_suppressed_makes_no_span_but_keeps_the_context(recorder: Recorder) -> None:
    with recorder.traces.span("outer") as outer, recorder.traces.suppressed(), recorder.traces.span("hidden"):
        assert propagation.trace_id() == trace.format_trace_id(outer.get_span_context().trace_id)
    assert [span.name for span in recorder.spans()] == ["outer"]


def test_disabled_makes_no_span_and_still_carries_the_context() -> None:
    tracing = start_tracing(TracingSettings(enabled=False))
    incoming = propagation.from_kafka([("traceparent", TRACEPARENT.encode())])
    with tracing.traces.span("any", context=incoming) as span:
        assert not span.is_recording()
        assert propagation.inject()["traceparent"] == TRACEPARENT
    assert tracing.shutdown()


# --- start and stop ---------------------------------------------------------------------------------------------------


class _StuckExporter(SpanExporter):
    """As a Collector that never answers."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.released.wait(60)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.released.set()


def test_shutdown_is_bounded_when_the_collector_hangs() -> None:
    tracing = start_tracing(TracingSettings(), exporter=_StuckExporter())
    with tracing.traces.span("lost"):
        pass
    started = time.monotonic()
    assert not tracing.shutdown(0.2)
    assert time.monotonic() - started < 5
    assert tracing.shutdown(), "a second call does nothing"


def test_shutdown_sends_what_is_left(make_recorder: Callable[[str], Recorder]) -> None:
    recorder = make_recorder("stopping")
    with recorder.traces.span("last words"):
        pass
    assert recorder.tracing.shutdown()
    (span,) = recorder.exporter.get_finished_spans()
    assert span.name == "last words"
    assert span.resource.attributes["service.name"] == "stopping"


def test_sampling_rate_zero_keeps_only_what_the_caller_sampled(recorder: Recorder) -> None:
    tracing = start_tracing(TracingSettings(sampling_rate=0.0), exporter=recorder.exporter)
    with tracing.traces.span("own") as own:
        assert not own.is_recording()
    with tracing.traces.span("called", context=propagation.from_kafka([("traceparent", TRACEPARENT.encode())])) as span:
        assert span.is_recording()
    tracing.shutdown()


# --- ASGI -------------------------------------------------------------------------------------------------------------


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


@pytest.fixture
def client(recorder: Recorder) -> AsgiClient:
    app = FastAPI()

    @app.get("/things/{name}")
    def thing(name: str) -> dict[str, str | None]:
        with recorder.traces.span("work"):
            return {"name": name, "correlation": propagation.correlation_id()}

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("broken")

    @app.get("/api/health/live")
    def live() -> None:
        with recorder.traces.span("probe"):
            pass

    return AsgiClient(TracingMiddleware(app, recorder.traces))


def test_request_span_continues_the_callers_trace(recorder: Recorder, client: AsgiClient) -> None:
    answer = client.get("/things/ada@example.com", headers={"traceparent": TRACEPARENT, "x-correlation-id": "c-1"})
    assert answer.json()["correlation"] == "c-1"
    assert answer.headers["x-correlation-id"] == "c-1"
    span = recorder.one("GET /things/{name}")
    assert answer.headers["traceparent"] == f"00-{TRACE}-{trace.format_span_id(span.context.span_id)}-01"
    assert span.kind is SpanKind.SERVER
    assert _parent(span) == int("b7ad6b7169203331", 16)
    assert span.attributes is not None
    assert span.attributes["http.route"] == "/things/{name}"
    assert span.attributes["http.response.status_code"] == 200
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
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 500
    assert [event.name for event in span.events] == ["exception"]


def test_unmatched_path_and_made_up_method_make_no_new_names(recorder: Recorder, client: AsgiClient) -> None:
    assert client.get("/nowhere/4711").status_code == 404
    assert client.request("BREW", "/nowhere/4711").status_code == 404
    assert {span.name for span in recorder.spans()} == {"GET", "HTTP"}


def test_excluded_paths_make_no_span_nor_does_what_they_call(recorder: Recorder, client: AsgiClient) -> None:
    assert client.get("/api/health/live").status_code == 200
    assert client.get("/api/healthy").status_code == 404
    assert [span.name for span in recorder.spans()] == ["GET"]


# --- HTTP client ------------------------------------------------------------------------------------------------------


def test_client_span_carries_the_context_and_hides_secrets(recorder: Recorder) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.url.path == "/away":
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(404 if request.url.path == "/missing" else 200)

    with httpx.Client(transport=TracingTransport(recorder.traces, httpx.MockTransport(answer))) as client:
        client.get("http://user:pass@site.example:81/page?token=hunter2")
        client.get("http://site.example/missing")
        with pytest.raises(httpx.ConnectError):
            client.get("http://site.example/away")
    good, missing, away = recorder.spans()
    assert good.name == "GET"
    assert good.kind is SpanKind.CLIENT
    assert trace.format_span_id(good.context.span_id) in seen[0].headers["traceparent"]
    assert good.attributes is not None
    assert good.attributes["url.full"] == "http://site.example:81/page?[redacted]"
    assert (missing.status.status_code, away.status.status_code) == (StatusCode.ERROR, StatusCode.ERROR)
    for secret in ("hunter2", "user:pass"):
        assert secret not in good.to_json()


# --- logs and masking -------------------------------------------------------------------------------------------------


def test_log_line_is_json_with_ids_and_without_personal_data(recorder: Recorder) -> None:
    formatter = JsonFormatter("gateway", recorder.tracing.masker)
    record = logging.LogRecord("app", logging.INFO, "", 1, "task of %s", ("Ada@Example.com",), None)
    record.__dict__.update({"task.id": "7", "user_email": "ada@example.com", "api_token": "hunter2"})
    with recorder.traces.span("work") as span:
        line = formatter.format(record)
    entry = json.loads(line)
    assert entry["trace_id"] == trace.format_trace_id(span.get_span_context().trace_id)
    assert entry["span_id"] == trace.format_span_id(span.get_span_context().span_id)
    assert (entry["severity"], entry["service.name"], entry["task.id"]) == ("INFO", "gateway", "7")
    assert entry["user_email"] == f"email:{recorder.tracing.masker.hash('ada@example.com')}"
    assert entry["message"] == f"task of {entry['user_email']}"
    assert "example.com" not in line.lower()
    assert "hunter2" not in line


def test_the_library_knows_nothing_of_its_users() -> None:
    library = Path(__file__).parents[2] / "service" / "tracing"
    for module in library.glob("*.py"):
        source = module.read_text()
        for user in ("service.common", "service.task_manager", "service.gateway", "service.crawler"):
            assert user not in source, f"{module.name} imports {user}"
