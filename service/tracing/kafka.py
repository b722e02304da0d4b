"""Tracing around confluent-kafka: a PRODUCER span a message sent, a CONSUMER span a message processed.

The consumer's span is a child of the producer's, in the same trace. A span link, which the conventions also allow,
would begin a new trace at every topic and cut the very path that is to be followed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from service.tracing import attributes as keys
from service.tracing import propagation
from service.tracing.propagation import KafkaHeader
from service.tracing.spans import TraceManager

if TYPE_CHECKING:  # a service without Kafka needs no client library
    from confluent_kafka import Consumer, KafkaError, Message, Producer

Delivery = Callable[["KafkaError | None", "Message"], None]

SUCCESS = "success"
FAILURE = "failure"


def message_headers(message: Message) -> Sequence[KafkaHeader]:
    """The headers of a message; none where they cannot be read (a name that is no UTF-8)."""
    try:
        headers = message.headers() or ()
        return list(headers.items() if isinstance(headers, dict) else headers)
    except Exception:  # the client decodes names eagerly; the message is still good
        return ()


class TracingProducer:
    """Sends through a confluent-kafka producer; the span ends with the delivery report, so it lasts until the ack."""

    def __init__(self, producer: Producer, traces: TraceManager, *, client_id: str) -> None:
        self._producer = producer
        self._traces = traces
        self._client_id = client_id

    def produce(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: str | bytes | None = None,
        headers: Sequence[KafkaHeader] = (),
        on_delivery: Delivery | None = None,
    ) -> None:
        """As `Producer.produce`, with the current context in the message's headers. Raises what that raises."""
        span = self._traces.start(
            f"send {topic}",
            kind=SpanKind.PRODUCER,
            attributes={
                keys.MESSAGING_SYSTEM: "kafka",
                keys.MESSAGING_OPERATION_NAME: "send",
                keys.MESSAGING_OPERATION_TYPE: "send",
                keys.MESSAGING_DESTINATION_NAME: topic,
                keys.MESSAGING_CLIENT_ID: self._client_id,
                keys.MESSAGING_MESSAGE_BODY_SIZE: len(value or b""),
            },
        )

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                span.set_status(Status(StatusCode.ERROR, error.str()))
                span.set_attribute(keys.ERROR_TYPE, error.name())
            elif (partition := message.partition()) is not None:
                span.set_attribute(keys.MESSAGING_DESTINATION_PARTITION_ID, str(partition))
                span.set_attribute(keys.MESSAGING_KAFKA_OFFSET, message.offset() or 0)
            span.set_attribute(keys.OUTCOME, SUCCESS if error is None else FAILURE)
            span.end()
            if on_delivery is not None:
                on_delivery(error, message)

        carried = propagation.to_kafka(headers, trace.set_span_in_context(span))
        try:
            self._producer.produce(topic, value=value, key=key, headers=carried, on_delivery=delivered)
        except Exception as error:
            self._traces.fail(span, error)
            span.set_attribute(keys.OUTCOME, FAILURE)
            span.end()
            raise


@dataclass
class Processing:
    """What a handler reports about the message in hand; `outcome` goes onto its span."""

    span: Span
    outcome: str = SUCCESS


class TracingConsumer:
    """Processes messages of a confluent-kafka consumer."""

    def __init__(self, consumer: Consumer, traces: TraceManager, *, group: str, client_id: str) -> None:
        self._consumer = consumer
        self._traces = traces
        self._group = group
        self._client_id = client_id

    def lag(self, message: Message) -> int | None:
        """Messages behind this one in its partition, as the last fetch saw it; asks no broker."""
        from confluent_kafka import KafkaException, TopicPartition

        try:
            where = TopicPartition(message.topic() or "", message.partition() or 0)
            watermarks = self._consumer.get_watermark_offsets(where, cached=True)
        except (KafkaException, RuntimeError):
            return None
        if watermarks is None or watermarks[1] < 0:
            return None
        return max(0, watermarks[1] - (message.offset() or 0) - 1)

    @contextmanager
    def process(self, message: Message) -> Iterator[Processing]:
        """The span around the handling of `message`; current inside the block, an error is recorded and goes on."""
        topic = message.topic() or ""
        attributes: dict[str, str | int | float] = {
            keys.MESSAGING_SYSTEM: "kafka",
            keys.MESSAGING_OPERATION_NAME: "process",
            keys.MESSAGING_OPERATION_TYPE: "process",
            keys.MESSAGING_DESTINATION_NAME: topic,
            keys.MESSAGING_DESTINATION_PARTITION_ID: str(message.partition()),
            keys.MESSAGING_KAFKA_OFFSET: message.offset() or 0,
            keys.MESSAGING_CONSUMER_GROUP_NAME: self._group,
            keys.MESSAGING_CLIENT_ID: self._client_id,
            keys.MESSAGING_MESSAGE_BODY_SIZE: len(message.value() or b""),
        }
        if (lag := self.lag(message)) is not None:
            attributes[keys.KAFKA_CONSUMER_LAG] = lag
        sent_ms = message.timestamp()[1]
        if sent_ms > 0:
            # Two machines' clocks: never below zero, however far they are apart.
            attributes[keys.KAFKA_QUEUE_TIME_MS] = max(0.0, round(time.time() * 1000 - sent_ms, 3))
        started = time.perf_counter()
        context = propagation.from_kafka(message_headers(message))
        with self._traces.span(
            f"process {topic}", kind=SpanKind.CONSUMER, attributes=attributes, context=context
        ) as span:
            processing = Processing(span)
            try:
                yield processing
            except BaseException:
                processing.outcome = FAILURE
                raise
            finally:
                span.set_attribute(keys.PROCESSING_TIME_MS, round((time.perf_counter() - started) * 1000, 3))
                span.set_attribute(keys.OUTCOME, processing.outcome)
