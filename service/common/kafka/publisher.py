"""Publishes messages and waits until the brokers have acknowledged them."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from contracts.service_metrics import OUTCOME_FAILURE, OUTCOME_SUCCESS
from contracts.topics import (
    DEAD_LETTER_BODY,
    DEAD_LETTER_PREFIX,
    DEAD_LETTER_REASON,
    DEAD_LETTER_SOURCE,
    dead_letter_topic,
)
from lean_tracing import TraceManager
from lean_tracing.kafka import TracingProducer, message_headers
from lean_tracing.propagation import KafkaHeader
from service.common.config import ServiceSettings
from service.common.errors import Rejected, Unavailable
from service.common.kafka.client import (
    UNKNOWN_REPLICATION,
    BrokersLost,
    ConnectionMonitor,
    client_configuration,
    client_logger,
)
from service.common.kafka.topics import create_missing_topics
from service.common.messages import Outgoing
from service.common.metrics import Metrics

_POLL_SECONDS: Final = 0.2
# A broker that is lost with its node closes no connection. After this time the client asks the others who took over;
# the default, 60 s, is longer than a message may wait.
_ANSWER_MS: Final = 4000
# The client reports a message as failed at its own time limit; this is the time for the report to arrive.
_REPORT_SECONDS: Final = 1.0
_FLUSH_SECONDS: Final = 2.0
_LONGEST_REASON_BYTES: Final = 1024
_TOO_LARGE: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE})

_logger = logging.getLogger(__name__)


class KafkaPublisher:
    """Publishes and waits for the acknowledgement: when `publish` returns, the message cannot get lost."""

    def __init__(
        self,
        settings: ServiceSettings,
        traces: TraceManager,
        metrics: Metrics,
        *,
        client_id: str,
        topics: Sequence[str],
    ) -> None:
        """topics: those that the service reads or writes; `ensure_topics` creates the missing ones."""
        self._topics = topics
        self._topics_exist = False
        self._is_broken = False
        self._ack_seconds = settings.publish_timeout_ms / 1000
        self._partitions = settings.topic_partitions
        self._metrics = metrics
        self._traces = traces
        self._configuration = client_configuration(settings, client_id)
        self._open()
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="kafka-delivery", daemon=True)

    def _open(self) -> None:
        self._producer = Producer(
            {
                **self._configuration,
                # No duplicates from the client's own retries, and an acknowledgement of all in-sync replicas.
                "enable.idempotence": True,
                "linger.ms": 1,
                # After this the client drops the message: one that was reported as failed must not arrive later.
                "message.timeout.ms": round(self._ack_seconds * 1000),
                "socket.timeout.ms": _ANSWER_MS,
                "topic.metadata.refresh.interval.ms": 30_000,
            },
            logger=client_logger,
        )
        self._tracing = TracingProducer(self._producer, self._traces, client_id=self._configuration["client.id"])
        self._monitor = ConnectionMonitor(self._producer, self._configuration)

    def start(self) -> None:
        """Starts the thread that serves delivery reports."""
        self._poller.start()

    def stop(self) -> None:
        """Sends the queued messages; the queue is empty unless a caller gave up waiting."""
        self._producer.flush(_FLUSH_SECONDS)
        self._stopping.set()
        self._poller.join(_POLL_SECONDS * 5)

    @property
    def alive(self) -> bool:
        """False only after a failure that a restart of the process may cure."""
        return not self._is_broken

    def publish(self, message: Outgoing) -> None:
        """Returns when the broker has the message.

        Raises:
            Unavailable: The broker has not acknowledged the message within the time limit.
            Rejected: The broker will never take the message: it is too large.
        """
        self._send_and_wait(message.topic, message.value, message.key, message.headers)

    async def publish_async(self, message: Outgoing) -> None:
        """Like `publish`, for the event loop: a caller that waits blocks no thread."""
        loop = asyncio.get_running_loop()
        report: asyncio.Future[KafkaError | None] = loop.create_future()

        def finish(error: KafkaError | None) -> None:
            if not report.done():  # the caller may have given up
                report.set_result(error)

        def on_report(error: KafkaError | None) -> None:
            # The event loop may be closed; the reports of other messages must still be served.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(finish, error)

        self._send(message.topic, message.value, message.key, message.headers, on_report)
        try:
            error = await asyncio.wait_for(report, self._ack_seconds + _REPORT_SECONDS)
        except TimeoutError:
            raise _unavailable("no delivery report") from None
        if error is not None:
            raise self._failure(error)

    def dead_letter(self, message: Message, reason: str) -> None:
        """Sends `message` unchanged, with the reason as a header, to its topic's dead-letter topic.

        A message that is too large with the added headers goes without its body; the header `dead-letter-source` says
        where the body is.

        Raises:
            Unavailable: As for `publish`.
            Rejected: As for `publish`.
        """
        source = message.topic() or ""
        topic = dead_letter_topic(source)
        # Cut between characters, so that the header can be decoded.
        text = reason.encode("utf-8", "replace")[:_LONGEST_REASON_BYTES].decode("utf-8", "ignore")
        headers: list[KafkaHeader] = [
            *message_headers(message),
            (DEAD_LETTER_REASON, text.encode()),
            (DEAD_LETTER_SOURCE, f"{source}/{message.partition()}/{message.offset()}".encode()),
        ]
        try:
            self._send_and_wait(topic, message.value(), message.key(), headers)
        except Rejected:
            own_headers = [header for header in headers if header[0].startswith(DEAD_LETTER_PREFIX)]
            self._send_and_wait(topic, None, None, [*own_headers, (DEAD_LETTER_BODY, b"left out, too large")])

    def check(self) -> None:
        """Raises when no broker answers, or when topics are missing and cannot be created."""
        if not self._topics_exist:
            self.ensure_topics()
            return
        replication = UNKNOWN_REPLICATION
        try:
            replication = self._monitor.check()
        except BrokersLost as error:
            _logger.warning("the producer is replaced: %s", error)
            lost_producer = self._producer
            self._open()
            # The callers that wait for its messages get an answer: the client fails each message at its time limit.
            lost_producer.flush(self._ack_seconds + _REPORT_SECONDS)
            raise
        finally:
            self._metrics.set_replication(replication.under_replicated, replication.offline)

    def ensure_topics(self) -> None:
        """Creates the service's topics that do not exist. Raises Unavailable."""
        create_missing_topics(self._configuration, self._topics, self._partitions)
        self._topics_exist = True

    def _poll(self) -> None:
        while not self._stopping.is_set():
            try:
                self._producer.poll(_POLL_SECONDS)
            except BaseException:  # from the callback of one report; the reports of other messages must go on
                self._metrics.loop_failures.labels(self._poller.name).inc()
                _logger.exception("the report of a message's delivery failed")

    def _send_and_wait(
        self, topic: str, value: bytes | None, key: str | bytes | None, headers: Sequence[KafkaHeader]
    ) -> None:
        is_reported = threading.Event()
        reports: list[KafkaError | None] = []

        def on_report(error: KafkaError | None) -> None:
            reports.append(error)
            is_reported.set()

        self._send(topic, value, key, headers, on_report)
        if not is_reported.wait(self._ack_seconds + _REPORT_SECONDS):
            raise _unavailable("no delivery report")
        if reports[0] is not None:
            raise self._failure(reports[0])

    def _send(
        self,
        topic: str,
        value: bytes | None,
        key: str | bytes | None,
        headers: Sequence[KafkaHeader],
        on_report: Callable[[KafkaError | None], None],
    ) -> None:
        def on_delivery(error: KafkaError | None, _: Message) -> None:
            self._metrics.produced.labels(topic, OUTCOME_FAILURE if error else OUTCOME_SUCCESS).inc()
            on_report(error)

        try:
            self._tracing.produce(topic, value, key=key, headers=headers, on_delivery=on_delivery)
        except KafkaException as error:
            self._metrics.produced.labels(topic, OUTCOME_FAILURE).inc()
            raise self._failure(error.args[0]) from error
        except BufferError as error:
            self._metrics.produced.labels(topic, OUTCOME_FAILURE).inc()
            raise _unavailable("the client's queue is full") from error

    def _failure(self, error: KafkaError) -> Exception:
        if error.fatal() and not self._is_broken:
            # The client accepts no more messages once it cannot guarantee their order.
            self._is_broken = True
            _logger.error("the Kafka client failed for good: %s", error.str())
        if error.code() in _TOO_LARGE:
            return Rejected(f"Kafka does not take the message ({error.name()})")
        return _unavailable(error.name())


def _unavailable(reason: str) -> Unavailable:
    return Unavailable("Kafka is unavailable", reason)
