"""Traces confluent-kafka: a PRODUCER span for each message sent, a CONSUMER span for each message processed.

The consumer's span is a child of the producer's, in the same trace, and links to it, as the conventions ask: the link
says which span created the message, even where a program between the two has become the parent.
"""

import functools
import gc
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode

from lean_tracing import attributes as keys
from lean_tracing.current import attach, current_span, detach, get_current
from lean_tracing.own_attributes import OwnAttributes
from lean_tracing.propagation import KafkaHeader
from lean_tracing.redaction import REDACTED
from lean_tracing.shared_attributes import SharedAttributes
from lean_tracing.span import CLIENT, CONSUMER, PRODUCER
from lean_tracing.spans import SpanScope, TraceManager

if TYPE_CHECKING:  # a service without Kafka needs no client library
    from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

_Attributes = dict[str, str | int | float]
Delivery = Callable[["KafkaError | None", "Message"], None]

SUCCESS = "success"
FAILURE = "failure"

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
# As many as a span keeps.
_MAX_LINKS = 128
_MAX_REDELIVERED = 1024
_MAX_TOPICS = 256
_MAX_PARTITIONS = 1024
# Arguments by position, because confluent-kafka makes a dictionary of those by name.
_NO_TIMEOUT, _CACHED = 0.0, True


def _is_intact(headers: list[Any]) -> bool:
    """Whether no tuple of `headers` holds NULL. The garbage collector can read such a tuple, and leaves NULL out."""
    pairs = [header for header in headers if isinstance(header, tuple)]
    return len(gc.get_referents(*pairs)) == 2 * len(pairs)


def message_headers(message: "Message", is_intact: Callable[[list[Any]], bool] = _is_intact) -> Sequence[KafkaHeader]:
    """The headers of a message; none if they cannot be read, because a name is not UTF-8.

    It may be called more than once. For such a message confluent-kafka's first `headers()` raises SystemError, and each
    later one returns tuples that hold NULL; reading those crashes the process (observed in 2.16.1).

    Args:
        message: a received one.
        is_intact: whether none of the tuples in a list holds NULL; the native part has another one.
    """
    try:
        headers = message.headers() or ()
        if isinstance(headers, list) and not is_intact(headers):
            raise ValueError("a header without a name")
        return list(headers.items() if isinstance(headers, dict) else headers)
    except Exception:  # the client could not decode a name; the message itself is good
        message.set_headers([])
        return ()


def _shown_key(key: str | bytes) -> str:
    """A key as a span may show it: an id unchanged, and any other key hidden, because it may be personal data."""
    if len(key) == 36:
        text = key if isinstance(key, str) else key.decode("latin-1")
        if _UUID.fullmatch(text):
            return text
    return REDACTED


class TracingProducer:
    """Sends through a confluent-kafka producer. The span ends with the delivery report, that is, with the ack."""

    def __init__(self, producer: "Producer", traces: TraceManager, *, client_id: str) -> None:
        self._producer = producer
        self._traces = traces
        self._client_id = client_id
        self._of_topic = functools.lru_cache(maxsize=_MAX_TOPICS)(self._describe_topic)

    def _describe_topic(self, topic: str) -> tuple[str, SharedAttributes]:
        """The name of a topic's spans, and the attributes that they share."""
        attributes: _Attributes = {
            keys.MESSAGING_SYSTEM: "kafka",
            keys.MESSAGING_OPERATION_NAME: "send",
            keys.MESSAGING_OPERATION_TYPE: "send",
            keys.MESSAGING_DESTINATION_NAME: topic,
            keys.MESSAGING_CLIENT_ID: self._client_id,
        }
        return f"send {topic}", SharedAttributes(attributes)

    def produce(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: str | bytes | None = None,
        headers: Sequence[KafkaHeader] = (),
        on_delivery: Delivery | None = None,
        partition: int = -1,
    ) -> None:
        """Sends a message as `Producer.produce` does, with the current context in its headers.

        Args:
            topic: where it goes.
            value: its body.
            key: decides on the partition.
            headers: of the message, without a context.
            on_delivery: called with the delivery report, in the context of this call.
            partition: -1 leaves the choice to the client.
        """
        traces = self._traces
        name, attributes = self._of_topic(topic)
        span = traces.start(name, kind=PRODUCER, attributes=attributes)
        if span.is_recording():
            span.set_attributes(_describe_message(key, value))
        context = get_current()
        delivered: Delivery = functools.partial(_end_send, span, traces.own.outcome)
        if on_delivery is not None:
            delivered = functools.partial(_end_and_report, delivered, context, on_delivery)
        carried = traces.propagator.to_kafka(headers, context, span)
        try:
            self._producer.produce(topic, value, key, partition, on_delivery=delivered, headers=carried)
        except BaseException as error:
            traces.fail(span, error)
            span.set_attribute(traces.own.outcome, FAILURE)
            span.end()
            raise


def _describe_message(key: str | bytes | None, value: str | bytes | None) -> _Attributes:
    attributes: _Attributes = {keys.MESSAGING_MESSAGE_BODY_SIZE: len(value or b"")}
    if key is not None:
        attributes[keys.MESSAGING_KAFKA_MESSAGE_KEY] = _shown_key(key)
    if value is None:
        attributes[keys.MESSAGING_KAFKA_MESSAGE_TOMBSTONE] = True
    return attributes


def _end_send(span: Span, outcome: str, error: "KafkaError | None", message: "Message") -> None:
    if not span.is_recording():
        return
    if error is not None:
        span.set_status(Status(StatusCode.ERROR, error.str()))
        span.set_attributes({keys.ERROR_TYPE: error.name(), outcome: FAILURE})
    else:
        span.set_attributes(
            {
                keys.MESSAGING_DESTINATION_PARTITION_ID: str(message.partition()),
                keys.MESSAGING_KAFKA_OFFSET: message.offset() or 0,
                outcome: SUCCESS,
            }
        )
    span.end()


def _end_and_report(
    end: Delivery, context: Context, on_delivery: Delivery, error: "KafkaError | None", message: "Message"
) -> None:
    """Ends the span of a message, and calls the application in the context in which it sent the message."""
    try:
        end(error, message)
    finally:
        token = attach(context)
        try:
            on_delivery(error, message)
        finally:
            detach(token)


class Processing:
    """The block in which a message is processed, and its handler's report on it.

    Attributes:
        span: that of the message.
        outcome: becomes an attribute of the span.
    """

    __slots__ = ("_own", "_scope", "_started_ns", "outcome", "span")

    def __init__(self, scope: SpanScope, span: Span, own: OwnAttributes) -> None:
        self.span = span
        self.outcome = SUCCESS
        self._scope = scope
        self._own = own

    def __enter__(self) -> Self:
        self._started_ns = time.perf_counter_ns()
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.span.set_attributes(
            {
                self._own.processing_time_ms: (time.perf_counter_ns() - self._started_ns) // 1000 / 1000,
                self._own.outcome: self.outcome if error is None else FAILURE,
            }
        )
        self._scope.__exit__(kind, error, where)


class _Partition:
    """What a consumer knows of one partition: what all its messages share, and how often each was delivered to it."""

    __slots__ = ("_again", "_next", "address", "attributes", "name")

    def __init__(self, name: str, attributes: SharedAttributes, address: "TopicPartition") -> None:
        self.name = name
        self.attributes = attributes
        self.address = address
        self._next = 0
        self._again: dict[int, int] = {}

    def count_delivery(self, offset: int) -> int:
        """How often this offset was delivered before; counts this delivery."""
        if offset >= self._next:
            self._next = offset + 1
            self._again.clear()
            return 0
        if len(self._again) >= _MAX_REDELIVERED:  # the topic is being replayed
            self._again.clear()
        times = self._again[offset] = self._again.get(offset, 0) + 1
        return times


class TracingConsumer:
    """Processes messages of a confluent-kafka consumer."""

    def __init__(self, consumer: "Consumer", traces: TraceManager, *, group: str, client_id: str) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        self._consumer = consumer
        self._traces = traces
        self._group = group
        self._client_id = client_id
        self._address = TopicPartition
        self._unknown = (KafkaException, RuntimeError)
        self._is_intact = _is_intact if traces.native is None else traces.native.is_intact
        self._partitions: dict[tuple[str, int], _Partition] = {}

    def _new_partition(self, topic: str, number: int) -> _Partition:
        attributes = SharedAttributes(
            {
                keys.MESSAGING_SYSTEM: "kafka",
                keys.MESSAGING_OPERATION_NAME: "process",
                keys.MESSAGING_OPERATION_TYPE: "process",
                keys.MESSAGING_DESTINATION_NAME: topic,
                keys.MESSAGING_DESTINATION_PARTITION_ID: str(number),
                keys.MESSAGING_CONSUMER_GROUP_NAME: self._group,
                keys.MESSAGING_CLIENT_ID: self._client_id,
            }
        )
        if len(self._partitions) >= _MAX_PARTITIONS:
            self._partitions.clear()
        new = _Partition(f"process {topic}", attributes, self._address(topic, number))
        return self._partitions.setdefault((topic, number), new)

    def lag(self, message: "Message") -> int | None:
        """Number of messages after this one in its partition, as of the last fetch; asks no broker."""
        return self._lag(self._address(message.topic() or "", message.partition() or 0), message.offset() or 0)

    def _lag(self, address: "TopicPartition", offset: int) -> int | None:
        try:
            watermarks = self._consumer.get_watermark_offsets(address, _NO_TIMEOUT, _CACHED)
        except self._unknown:
            return None
        if watermarks is None or watermarks[1] < 0:
            return None
        lag = watermarks[1] - offset - 1
        return lag if lag > 0 else 0

    def process(self, message: "Message") -> Processing:
        """The span around the handling of `message`, current inside the block. An error is recorded and raised again.

        A message without a context, or with one that cannot be read, begins a trace.
        """
        traces = self._traces
        place = message.topic() or "", message.partition() or 0
        partition = self._partitions.get(place) or self._new_partition(*place)
        context, links = traces.propagator.producer_in(message_headers(message, self._is_intact))
        span = traces.start(
            partition.name, kind=CONSUMER, attributes=partition.attributes, context=context, links=links
        )
        times = partition.count_delivery(message.offset() or 0)
        if span.is_recording():
            span.set_attributes(self._describe_delivery(message, partition, times))
        return Processing(traces.scope(span, context), span, traces.own)

    def _describe_delivery(self, message: "Message", partition: _Partition, times: int) -> _Attributes:
        own = self._traces.own
        attributes = _describe_message(message.key(), message.value())
        attributes[keys.MESSAGING_KAFKA_OFFSET] = offset = message.offset() or 0
        if (lag := self._lag(partition.address, offset)) is not None:
            attributes[own.kafka_consumer_lag] = lag
        sent_ms = message.timestamp()[1]
        if sent_ms > 0:
            # The clocks of two machines may differ; the time is never below zero.
            waited_us = time.time_ns() // 1000 - sent_ms * 1000
            attributes[own.kafka_queue_time_ms] = waited_us / 1000 if waited_us > 0 else 0.0
        if times:
            attributes[own.kafka_redeliveries] = times
        return attributes

    @contextmanager
    def batch(self, messages: Sequence["Message"]) -> Iterator[None]:
        """The span around the handling of what `Consumer.consume(n)` returned; none for fewer than two messages.

        Inside, `process` makes the span of each message, in the trace of its producer. The span of the batch is in a
        trace of its own and links to all of those.
        """
        usable = [message for message in messages if message.error() is None]
        if len(usable) < 2:
            yield
            return
        topics = {message.topic() or "" for message in usable}
        attributes: _Attributes = {
            keys.MESSAGING_SYSTEM: "kafka",
            keys.MESSAGING_OPERATION_NAME: "receive",
            keys.MESSAGING_OPERATION_TYPE: "receive",
            keys.MESSAGING_CONSUMER_GROUP_NAME: self._group,
            keys.MESSAGING_CLIENT_ID: self._client_id,
            keys.MESSAGING_BATCH_MESSAGE_COUNT: len(usable),
        }
        name = "receive"
        if len(topics) == 1:
            attributes[keys.MESSAGING_DESTINATION_NAME] = topic = topics.pop()
            name = f"receive {topic}"
        with self._traces.span(name, kind=CLIENT, attributes=attributes) as span:
            if span.is_recording():
                for message in usable[:_MAX_LINKS]:
                    context = self._traces.propagator.from_kafka(message_headers(message))
                    producer = current_span(context).get_span_context()
                    if producer.is_valid:
                        span.add_link(producer)
            yield
