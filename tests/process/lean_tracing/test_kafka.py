"""Spans of messages sent and processed, over the real protocol."""

import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, Producer, TopicPartition
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from lean_tracing import TracingSettings, propagation, start_tracing
from lean_tracing.kafka import TracingConsumer, TracingProducer, message_headers
from lean_tracing.propagation import Propagator
from lean_tracing.testing import Recorder
from stack.polling import poll_until
from tests.support.brokers import send_raw

PROPAGATOR = Propagator()

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01".encode()


def _parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def _attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


class Topic:
    """A topic with its producer and its consumer."""

    def __init__(self, name: str, kafka: str, recorder: Recorder) -> None:
        self.name = name
        self.client = Producer({"bootstrap.servers": kafka, "linger.ms": 0, "log_level": 0})
        self.producer = TracingProducer(self.client, recorder.traces, client_id="p")
        self.reader = Consumer({"bootstrap.servers": kafka, "group.id": name, "auto.offset.reset": "earliest"})
        self.consumer = TracingConsumer(self.reader, recorder.traces, group=name, client_id="c")

    def send(self, value: bytes | None, **options: Any) -> Message:
        """Sends and waits for the delivery report."""
        delivered: list[Message] = []
        self.producer.produce(
            self.name, value, partition=0, on_delivery=lambda _, message: delivered.append(message), **options
        )
        return poll_until("delivery report", lambda: (self.client.poll(0.05), delivered)[1])[0]

    def read(self) -> Message:
        (message,) = poll_until("message", self._next)
        return message

    def _next(self) -> list[Message]:
        if not self.reader.assignment():  # not subscribed: to join a group takes seconds
            self.reader.assign([TopicPartition(self.name, 0, OFFSET_BEGINNING)])
        message = self.reader.poll(0.1)
        return [message] if message is not None and message.error() is None else []


@pytest.fixture
def make_topic(kafka: str, recorder: Recorder) -> Iterator[Callable[[], Topic]]:
    made: list[Topic] = []

    def make() -> Topic:
        made.append(Topic(f"tracing-{uuid.uuid4()}", kafka, recorder))
        return made[-1]

    yield make
    for topic in made:
        topic.reader.close()


@pytest.fixture
def topic(make_topic: Callable[[], Topic]) -> Topic:
    return make_topic()


def _received(*headers: tuple[str, bytes | None], value: bytes | None = b"x", offset: int = 0) -> Message:
    """A message as a consumer receives it."""
    return Message(topic="t", value=value, headers=list(headers), partition=0, offset=offset)


@pytest.fixture
def consumer(recorder: Recorder) -> Iterator[TracingConsumer]:
    """A consumer without a broker."""
    client = Consumer({"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "log_level": 0})
    yield TracingConsumer(client, recorder.traces, group="g", client_id="c")
    client.close()


# --- from one side to the other ---------------------------------------------------------------------------------------


def test_consumer_span_is_child_of_producer_span(recorder: Recorder, topic: Topic) -> None:
    key = str(uuid.uuid4())
    with recorder.traces.span("request"):
        topic.send(b"body", key=key, headers=[("id", b"7"), ("traceparent", b"of an older message")])
    message = topic.read()
    with topic.consumer.process(message) as processing, recorder.traces.span("effect"):
        processing.outcome = "created"
    with pytest.raises(KeyError), topic.consumer.process(message):
        raise KeyError("again")

    sent = recorder.one(f"send {topic.name}")
    first, second = (span for span in recorder.spans() if span.name == f"process {topic.name}")
    assert (sent.kind, first.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert _parent(first) == _parent(second) == sent.context.span_id
    assert _parent(recorder.one("effect")) == first.context.span_id
    assert len({span.context.trace_id for span in recorder.spans()}) == 1
    assert [link.context.span_id for span in (first, second) for link in span.links] == [sent.context.span_id] * 2
    assert _attributes(sent) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": topic.name,
        "messaging.destination.partition.id": "0",
        "messaging.client.id": "p",
        "messaging.message.body.size": 4,
        "messaging.kafka.message.key": key,
        "messaging.kafka.offset": 0,
        "lean_tracing.outcome": "success",
    }
    attributes = _attributes(first)
    assert attributes.pop("lean_tracing.processing_time_ms") >= 0
    assert attributes.pop("lean_tracing.kafka.queue_time_ms") >= 0
    assert attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": topic.name,
        "messaging.destination.partition.id": "0",
        "messaging.client.id": "c",
        "messaging.consumer.group.name": topic.name,
        "messaging.message.body.size": 4,
        "messaging.kafka.message.key": key,
        "messaging.kafka.offset": 0,
        "lean_tracing.kafka.consumer_lag": 0,
        "lean_tracing.outcome": "created",
    }
    assert second.status.status_code is StatusCode.ERROR
    assert _attributes(second)["lean_tracing.outcome"] == "failure"
    assert _attributes(second)["lean_tracing.kafka.redeliveries"] == 1
    assert dict(message_headers(message))["id"] == b"7"


def test_lag_is_what_is_still_behind_the_message(topic: Topic) -> None:
    for number in range(3):
        topic.send(b"%d" % number)
    assert [topic.consumer.lag(topic.read()) for _ in range(3)] == [2, 1, 0]


def test_a_redelivered_message_shows_how_often(recorder: Recorder, topic: Topic) -> None:
    for number in range(3):
        topic.send(b"%d" % number)

    def process(times: int) -> None:
        for _ in range(times):
            with topic.consumer.process(topic.read()):
                pass

    process(2)
    topic.reader.seek(TopicPartition(topic.name, 0, 0))
    process(1)
    topic.reader.seek(TopicPartition(topic.name, 0, 0))
    process(3)
    deliveries = [_attributes(span) for span in recorder.spans() if span.name == f"process {topic.name}"]
    assert [(one["messaging.kafka.offset"], one.get("lean_tracing.kafka.redeliveries")) for one in deliveries] == [
        (0, None), (1, None), (0, 1), (0, 2), (1, 1), (2, None),
    ]  # fmt: skip


def test_a_tombstone_and_a_key_that_is_no_id(recorder: Recorder, topic: Topic) -> None:
    topic.send(None, key="ada@example.com")
    with topic.consumer.process(topic.read()):
        pass
    for span in recorder.spans():
        assert _attributes(span)["messaging.kafka.message.tombstone"] is True
        assert _attributes(span)["messaging.kafka.message.key"] == "[redacted]"
        assert _attributes(span)["messaging.message.body.size"] == 0


def test_a_batch_links_to_its_messages_and_each_stays_in_its_trace(recorder: Recorder, topic: Topic) -> None:
    for number in range(3):
        topic.send(b"%d" % number)
    messages = [topic.read() for _ in range(3)]
    with topic.consumer.batch(messages):
        for message in messages:
            with topic.consumer.process(message):
                pass
    receive = recorder.one(f"receive {topic.name}")
    sent = [span for span in recorder.spans() if span.name == f"send {topic.name}"]
    processed = [span for span in recorder.spans() if span.name == f"process {topic.name}"]
    assert [_parent(span) for span in processed] == [span.context.span_id for span in sent]
    assert [link.context.span_id for link in receive.links] == [span.context.span_id for span in sent]
    assert _attributes(receive)["messaging.batch.message_count"] == 3
    assert receive.parent is None


def test_empty_and_single_batches_make_no_span_of_their_own(recorder: Recorder, consumer: TracingConsumer) -> None:
    with consumer.batch([]):
        pass
    with consumer.batch([_received()]), consumer.process(_received()):
        pass
    assert [span.name for span in recorder.spans()] == ["process t"]


# --- messages that are not as they should be --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", None)],
        [("traceparent", b"")],
        [("traceparent", b"garbage")],
        [("traceparent", b"\xff" * 55)],
        [("traceparent", TRACEPARENT * 1000)],
        [("traceparent", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01")],
    ],
)
def test_without_a_usable_context_a_trace_begins(
    recorder: Recorder, consumer: TracingConsumer, headers: list[tuple[str, bytes | None]]
) -> None:
    with recorder.traces.span("poll loop"), consumer.process(_received(*headers)):
        pass
    span = recorder.one("process t")
    assert span.parent is None
    assert span.status.status_code is StatusCode.UNSET
    assert span.context.trace_id != recorder.one("poll loop").context.trace_id


class UnreadableHeaders(Message):
    """A message of which a header's name is not UTF-8."""

    def headers(self) -> Any:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")


def test_headers_that_cannot_be_read_cost_the_context_only(recorder: Recorder, consumer: TracingConsumer) -> None:
    message = UnreadableHeaders(topic="t", value=b"x", partition=0, offset=0)
    with consumer.process(message) as processing:
        processing.outcome = "created"
    with consumer.batch([message, message]):
        pass
    assert recorder.one("process t").parent is None
    assert not recorder.one("receive t").links


def test_headers_of_no_utf8_are_safe_however_often_they_are_read(topic: Topic, kafka: str) -> None:
    # In another process, because the fault that this test looks for crashes the process.
    send_raw(kafka, topic.name, b"first", [(b"\xff\xfe", b"x"), (b"id", b"7")])
    send_raw(kafka, topic.name, b"second", [(b"id", b"7"), (b"task-\xe9", b"x")])
    subprocess.run([sys.executable, "-c", _READER, kafka, topic.name], check=True, timeout=30)


_READER = """
import sys
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from lean_tracing import TracingSettings, start_tracing
from lean_tracing.kafka import TracingConsumer, message_headers

reader = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "raw"})
consumer = TracingConsumer(reader, start_tracing(TracingSettings()).traces, group="g", client_id="c")
reader.assign([TopicPartition(sys.argv[2], 0, OFFSET_BEGINNING)])
messages = []
while len(messages) < 2:
    messages += reader.consume(2, 1)
try:
    messages[1].headers()  # as an application may do, before the library does
except SystemError:
    pass
with consumer.batch(messages):
    for message in messages * 2:
        with consumer.process(message):
            assert not message_headers(message)
            assert not message.headers()
"""


# --- delivery reports -------------------------------------------------------------------------------------------------


def test_failed_delivery_fails_the_span(recorder: Recorder) -> None:
    producer = Producer({"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": 100, "log_level": 0})
    failures: list[Any] = []
    TracingProducer(producer, recorder.traces, client_id="p").produce(
        "t", b"x", on_delivery=lambda error, _: failures.append(error)
    )
    poll_until("delivery report", lambda: (producer.poll(0.05), failures)[1])
    span = recorder.one("send t")
    assert span.status.status_code is StatusCode.ERROR
    assert _attributes(span)["error.type"] == "_MSG_TIMED_OUT"
    assert _attributes(span)["lean_tracing.outcome"] == "failure"


def test_a_message_the_client_refuses_fails_the_span(recorder: Recorder) -> None:
    producer = Producer({"bootstrap.servers": "127.0.0.1:1", "message.max.bytes": 1000, "log_level": 0})
    with pytest.raises(KafkaException):
        TracingProducer(producer, recorder.traces, client_id="p").produce("t", b"x" * 2000)
    span = recorder.one("send t")
    assert span.status.status_code is StatusCode.ERROR
    assert _attributes(span)["lean_tracing.outcome"] == "failure"


@contextmanager
def _polling(producer: Producer, errors: list[BaseException]) -> Iterator[None]:
    """Serves delivery reports in a thread, as services do."""
    stop = threading.Event()

    def poll() -> None:
        while not stop.is_set():
            try:
                producer.poll(0.02)
            except Exception as error:
                errors.append(error)
            assert not trace.get_current_span().get_span_context().is_valid, "a context leaked into the poll thread"

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def test_a_callback_runs_in_its_senders_context_and_may_fail(recorder: Recorder, topic: Topic) -> None:
    received: list[str | None] = []
    errors: list[BaseException] = []

    def on_delivery(_: Any, message: Message) -> None:
        received.append(propagation.trace_id())
        raise ZeroDivisionError("of the caller's own")

    with _polling(topic.client, errors):
        traces = []
        for number in range(3):
            with recorder.traces.span(f"request {number}"):
                traces.append(propagation.trace_id())
                topic.producer.produce(topic.name, b"x", on_delivery=on_delivery)
        poll_until("callbacks", lambda: len(errors) == 3)
    assert sorted(map(str, received)) == sorted(map(str, traces))
    assert {type(error) for error in errors} == {ZeroDivisionError}
    sent = [span for span in recorder.spans() if span.name == f"send {topic.name}"]
    assert [_attributes(span)["lean_tracing.outcome"] for span in sent] == ["success"] * 3


def test_without_tracing_the_context_is_still_carried_on(topic: Topic) -> None:
    traces = start_tracing(TracingSettings(enabled=False)).traces
    with traces.span("any", context=PROPAGATOR.from_kafka([("traceparent", TRACEPARENT)])):
        TracingProducer(topic.client, traces, client_id="p").produce(topic.name, b"x", partition=0)
    topic.client.flush(10)
    message = topic.read()
    assert dict(message_headers(message))["traceparent"] == TRACEPARENT
    with TracingConsumer(topic.reader, traces, group="g", client_id="c").process(message) as processing:
        assert not processing.span.is_recording()
        assert propagation.trace_id() == TRACE
