"""The library's other parts: spans, ASGI, Kafka, SQL, HTTP clients, logs, start and stop."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from service.tracing import Masker, TracingSettings, start_tracing
from service.tracing.kafka import TracingConsumer, TracingProducer
from service.tracing.logs import JsonFormatter
from service.tracing.sqlalchemy import instrument_engine, summarize
from tests.service.conftest import Recorder
from tests.service.polling import poll_until

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def _parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


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


# --- Kafka ------------------------------------------------------------------------------------------------------------


def _consume(consumer: Consumer) -> Message:
    def next_message() -> Message | None:
        message = consumer.poll(0.1)
        return message if message is not None and message.error() is None else None

    return poll_until("message", next_message)


def test_consumer_span_is_child_of_producer_span(recorder: Recorder, kafka: str) -> None:
    topic = "tracing-kafka"
    producer = Producer({"bootstrap.servers": kafka})
    delivered: list[Message] = []
    with recorder.traces.span("request"):
        TracingProducer(producer, recorder.traces, client_id="p").produce(
            topic, b"body", key="k", headers=[("id", b"7")], on_delivery=lambda _, message: delivered.append(message)
        )
    poll_until("delivery report", lambda: (producer.poll(0.05), delivered)[1])

    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "tracing", "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic])
        message = _consume(consumer)
        tracing = TracingConsumer(consumer, recorder.traces, group="tracing", client_id="c")
        with tracing.process(message) as processing, recorder.traces.span("effect"):
            processing.outcome = "created"
        with pytest.raises(KeyError), tracing.process(message):
            raise KeyError("again")
    finally:
        consumer.close()

    sent = recorder.one(f"send {topic}")
    first, second = (span for span in recorder.spans() if span.name == f"process {topic}")
    assert (sent.kind, first.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert _parent(first) == _parent(second) == sent.context.span_id
    assert _parent(recorder.one("effect")) == first.context.span_id
    assert len({span.context.trace_id for span in recorder.spans()}) == 1
    assert sent.attributes is not None
    assert first.attributes is not None
    assert second.attributes is not None
    assert sent.attributes["task.outcome"] == "success"
    for key in ("messaging.destination.partition.id", "messaging.kafka.offset", "messaging.message.body.size"):
        assert sent.attributes[key] == first.attributes[key]
    assert first.attributes["messaging.message.body.size"] == 4
    assert first.attributes["task.kafka.consumer_lag"] == 0
    assert first.attributes["task.outcome"] == "created"
    assert isinstance(first.attributes["task.processing_time_ms"], float)
    assert second.attributes["task.outcome"] == "failure"
    assert second.status.status_code is StatusCode.ERROR


def test_failed_delivery_fails_the_span(recorder: Recorder) -> None:
    producer = Producer({"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": 100, "log_level": 0})
    failures: list[Any] = []
    TracingProducer(producer, recorder.traces, client_id="p").produce(
        "t", b"x", on_delivery=lambda error, _: failures.append(error)
    )
    poll_until("delivery report", lambda: (producer.poll(0.05), failures)[1])
    span = recorder.one("send t")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "_MSG_TIMED_OUT"


# --- SQL --------------------------------------------------------------------------------------------------------------


def test_statement_span_without_parameters(recorder: Recorder) -> None:
    engine = create_engine("sqlite://", hide_parameters=True)
    instrument_engine(engine, recorder.traces)
    with engine.begin() as connection, recorder.traces.span("request") as request:
        connection.execute(text("CREATE TABLE people (mail TEXT UNIQUE)"))
        add = text("INSERT INTO people (mail) VALUES (:mail)")
        connection.execute(add, {"mail": "ada@example.com"})
        with pytest.raises(IntegrityError):
            connection.execute(add, {"mail": "ada@example.com"})
        connection.exec_driver_sql("SELECT mail FROM people WHERE mail = 'ada@example.com'")
    inserted, refused = (span for span in recorder.spans() if span.name == "INSERT people")
    assert inserted.kind is SpanKind.CLIENT
    assert _parent(inserted) == request.get_span_context().span_id
    assert inserted.attributes is not None
    assert inserted.attributes["db.system.name"] == "sqlite"
    assert inserted.attributes["db.collection.name"] == "people"
    assert inserted.attributes["db.query.text"] == "INSERT INTO people (mail) VALUES (?)"
    assert inserted.attributes["task.db.rows_affected"] == 1
    assert refused.status.status_code is StatusCode.ERROR
    assert recorder.one("SELECT people").end_time
    assert "ada@example.com" not in " ".join(span.to_json() for span in recorder.spans())


@pytest.mark.parametrize(
    ("statement", "summary"),
    [
        ("INSERT INTO web_crawl_tasks (id) VALUES (?)", ("INSERT", "web_crawl_tasks")),
        ('update "public"."web_crawl_tasks" set a = 1', ("UPDATE", "web_crawl_tasks")),
        ("DELETE FROM t WHERE x", ("DELETE", "t")),
        ("SELECT a,\n b \nFROM t JOIN u ON true", ("SELECT", "t")),
        ("CREATE TABLE IF NOT EXISTS t (a INT)", ("CREATE", "t")),
        ("SELECT 1", ("SELECT", "")),
        ("", ("", "")),
    ],
)
def test_statements_are_summarized(statement: str, summary: tuple[str, str]) -> None:
    assert summarize(statement) == summary


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
    assert entry["user_email"] == recorder.tracing.masker.hash("ada@example.com")
    assert entry["message"] == f"task of email:{entry['user_email']}"
    assert "example.com" not in line.lower()
    assert "hunter2" not in line


def test_hashes_agree_only_with_the_same_key() -> None:
    assert Masker("key one").hash(" Ada@example.com") == Masker("key one").hash("ada@example.com")
    assert Masker("key one").hash("ada@example.com") != Masker("key two").hash("ada@example.com")
    assert Masker().hash("ada@example.com") != Masker().hash("ada@example.com")


def test_the_library_knows_nothing_of_its_users() -> None:
    library = Path(__file__).parents[2] / "service" / "tracing"
    for module in library.glob("*.py"):
        source = module.read_text()
        for user in ("service.common", "service.task_manager", "service.gateway", "service.crawler"):
            assert user not in source, f"{module.name} imports {user}"
