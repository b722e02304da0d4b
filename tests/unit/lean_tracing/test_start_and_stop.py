"""Start and stop of the library, its log format, and its independence of its users."""

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from lean_tracing import TracingSettings, start_tracing
from lean_tracing.logs import JsonFormatter
from lean_tracing.testing import Recorder

# --- start and stop ---------------------------------------------------------------------------------------------------


class _StuckExporter(SpanExporter):
    """Behaves like a Collector that never answers."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.released.wait(60)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.released.set()


def test_shutdown_is_bounded_when_the_collector_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lean_tracing.start._CLOSE_SECONDS", 0.1)
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


# --- logs and redaction -----------------------------------------------------------------------------------------------


def test_log_line_is_json_with_ids_and_without_personal_data(recorder: Recorder) -> None:
    formatter = JsonFormatter("gateway", recorder.tracing.redactor)
    record = logging.LogRecord("app", logging.INFO, "", 1, "task of %s", ("Ada@Example.com",), None)
    record.__dict__.update({"task.id": "7", "user_email": "ada@example.com", "api_token": "hunter2"})
    with recorder.traces.span("work") as span:
        line = formatter.format(record)
    entry = json.loads(line)
    assert entry["trace_id"] == trace.format_trace_id(span.get_span_context().trace_id)
    assert entry["span_id"] == trace.format_span_id(span.get_span_context().span_id)
    assert (entry["severity"], entry["service.name"], entry["task.id"]) == ("INFO", "gateway", "7")
    assert entry["user_email"] == f"email:{recorder.tracing.redactor.hash('ada@example.com')}"
    assert entry["message"] == f"task of {entry['user_email']}"
    assert "example.com" not in line.lower()
    assert "hunter2" not in line


def test_the_library_knows_nothing_of_its_users() -> None:
    library = Path(__file__).parents[3] / "lean_tracing"
    modules = list(library.rglob("*.py"))
    assert modules
    for module in modules:
        assert not re.search(r"^\s*(from|import) (service|contracts|stack)\b", module.read_text(), re.MULTILINE), module
