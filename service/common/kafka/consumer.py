"""Consumes one topic in a thread, and delivers each message at least once."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from contracts.service_metrics import OUTCOME_RETRIED
from lean_tracing import TraceManager
from lean_tracing.kafka import TracingConsumer
from service.common.config import ServiceSettings
from service.common.errors import Unavailable
from service.common.kafka.client import BrokersLost, ConnectionMonitor, client_configuration, client_logger
from service.common.kafka.offsets import Offsets
from service.common.kafka.processing import Abandon, Handler, InProgress, MessageProcessor
from service.common.kafka.publisher import KafkaPublisher
from service.common.metrics import Metrics
from service.common.retry import Backoff

# Also the longest time that a stop waits for an idle consumer.
_POLL_SECONDS: Final = 0.2

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ConsumerTiming:
    """Time limits of a consumer."""

    session_ms: int = 10_000
    """When a consumer ends without leaving its group, its partitions go to other consumers after this time."""
    max_poll_ms: int = 300_000
    """A message in progress for longer hangs: Kafka revokes the partition, and only a restart ends the thread."""
    stop_seconds: float = 10.0
    """How long a stop waits for the message in progress. A fetch may take longer: the message is delivered again."""
    silence_seconds: float = 5.0
    """A consumer that receives nothing for this long checks its connection."""


_DEFAULT_TIMING: Final = ConsumerTiming()


@dataclass(frozen=True, kw_only=True)
class _Session:
    """One Kafka consumer, from its subscription until it is closed."""

    consumer: Consumer
    offsets: Offsets
    tracing: TracingConsumer
    monitor: ConnectionMonitor


class ConsumerLoop:
    """Consumes one topic in a thread, at least once: a message's offset is committed after its effect, never before.

    `handler` returns an outcome for metrics and span. When it raises Unavailable, the message is delivered again after
    a delay, without a limit on the number of attempts. After any other exception the message is dead-lettered, and so
    is a message whose handling has ended the process `settings.message_attempts` times.
    """

    def __init__(
        self,
        *,
        topic: str,
        group: str,
        settings: ServiceSettings,
        traces: TraceManager,
        metrics: Metrics,
        publisher: KafkaPublisher,
        handler: Handler,
        prepare: Callable[[], None],
        abandon: Abandon | None = None,
        timing: ConsumerTiming = _DEFAULT_TIMING,
    ) -> None:
        """Connects to nothing; see `start`.

        Args:
            topic: The topic to consume.
            group: The consumer group.
            settings: Addresses of the brokers, and limits.
            traces: Makes the spans of the messages.
            metrics: Counts and times the messages.
            publisher: Sends the dead letters.
            handler: Handles a message and returns the outcome.
            prepare: Called before the first message, and again until it no longer raises Unavailable (topics, schema).
            abandon: Called with a message and the reason before the message is dead-lettered, so that its task ends.
                May raise Unavailable.
            timing: Time limits.
        """
        self._timing = timing
        self._topic = topic
        self._group = group
        self._settings = settings
        self._traces = traces
        self._metrics = metrics
        self._prepare = prepare
        self._processor = MessageProcessor(
            attempts=settings.message_attempts,
            traces=traces,
            metrics=metrics,
            publisher=publisher,
            handler=handler,
            abandon=abandon,
        )
        self._stopping = threading.Event()
        self._backoff = Backoff()
        self._thread = threading.Thread(target=self._run, name=f"consume-{topic}", daemon=True)

    def start(self) -> None:
        """Starts the thread, which consumes as soon as the dependencies are available."""
        self._thread.start()

    def stop(self) -> None:
        """Finishes the message in progress, commits and leaves the group."""
        self._stopping.set()
        self._thread.join(self._timing.stop_seconds)
        in_progress = self._processor.in_progress
        if self._thread.is_alive() and in_progress and not self._hangs(in_progress):
            # The process ends during the message because it was stopped.
            in_progress.release()

    @property
    def alive(self) -> bool:
        """Whether the thread runs and no message hangs. False is a failure that a restart may cure."""
        if self._stopping.is_set():
            return True
        in_progress = self._processor.in_progress
        return self._thread.is_alive() and not (in_progress and self._hangs(in_progress))

    def _hangs(self, message: InProgress) -> bool:
        return time.monotonic() - message.since > self._timing.max_poll_ms / 1000

    def _run(self) -> None:
        is_prepared = False
        while not self._stopping.is_set():
            try:
                if not is_prepared:
                    with self._traces.suppressed():
                        self._prepare()
                    is_prepared = True
                    self._backoff.reset()
                self._consume()
            except Unavailable as error:
                delay = self._backoff.next_delay()
                _logger.warning("not ready to consume %s, next attempt in %.1f s: %s", self._topic, delay, error)
                self._stopping.wait(delay)
            except BaseException:  # any error: messages wait until the loop goes on
                self._metrics.loop_failures.labels(self._thread.name).inc()
                delay = self._backoff.next_delay()
                _logger.exception("consumption of %s failed, next attempt in %.1f s", self._topic, delay)
                self._stopping.wait(delay)

    def _consume(self) -> None:
        """Consumes until the loop is stopped, or until this consumer has lost its brokers."""
        session = self._open()

        def on_revoke(consumer: Consumer, _partitions: list[TopicPartition]) -> None:
            session.offsets.on_revoke()
            self._on_assign(consumer, [])

        try:
            self._on_assign(session.consumer, [])
            # Create the series at 0, so that rate() sees the first increment.
            self._metrics.processing.labels(self._topic)
            self._metrics.waited.labels(self._topic)
            session.consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=on_revoke)
            _logger.info("consuming %s as group %s", self._topic, self._group)
            self._poll(session)
        except BrokersLost as error:
            _logger.warning("the consumer of %s is replaced: %s", self._topic, error)
        finally:
            session.offsets.commit_finished()
            session.consumer.close()

    def _open(self) -> _Session:
        client_id = f"{self._group}-consumer"
        shared = client_configuration(self._settings, client_id)
        configuration: dict[str, Any] = {
            **shared,
            "group.id": self._group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,  # see `Offsets`
            # Messages are handled one by one: a longer queue in the client would only cost memory.
            "queued.max.messages.kbytes": 16_384,
            "session.timeout.ms": self._timing.session_ms,
            "heartbeat.interval.ms": self._timing.session_ms // 3,
            "max.poll.interval.ms": self._timing.max_poll_ms,
            # The next refresh finds a new topic, instead of the one after the default five minutes.
            "topic.metadata.refresh.interval.ms": 10_000,
        }
        consumer = Consumer(configuration, logger=client_logger)
        return _Session(
            consumer=consumer,
            offsets=Offsets(consumer, self._topic),
            tracing=TracingConsumer(consumer, self._traces, group=self._group, client_id=client_id),
            monitor=ConnectionMonitor(consumer, shared),
        )

    def _poll(self, session: _Session) -> None:
        last_message = time.monotonic()
        while not self._stopping.is_set():
            message = session.consumer.poll(0)
            if message is None:
                session.offsets.commit_finished()
                message = session.consumer.poll(_POLL_SECONDS)
            if message is None:
                if time.monotonic() - last_message > self._timing.silence_seconds:
                    with contextlib.suppress(KafkaException):
                        session.monitor.check()
                    last_message = time.monotonic()
                continue
            last_message = time.monotonic()
            error = message.error()
            if error is None:
                self._process(session, message)
            elif error.fatal():
                raise KafkaException(error)
            else:
                _logger.warning("consumer of %s: %s", self._topic, error.str())

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._metrics.partitions.labels(self._topic).set(len(partitions))

    def _process(self, session: _Session, message: Message) -> None:
        try:
            self._processor.process(message, session.offsets, session.tracing)
        except Unavailable as error:
            self._deliver_again(session.consumer, message, error)
        else:
            self._backoff.reset()

    def _deliver_again(self, consumer: Consumer, message: Message, error: Unavailable) -> None:
        partition, offset = message.partition() or 0, message.offset() or 0
        delay = self._backoff.next_delay()
        self._metrics.consumed.labels(self._topic, OUTCOME_RETRIED).inc()
        _logger.warning("message %s/%d/%d again in %.1f s: %s", self._topic, partition, offset, delay, error)
        try:
            consumer.seek(TopicPartition(self._topic, partition, offset))
        except KafkaException as revoked:
            _logger.warning("the partition is no longer assigned to this consumer: %s", revoked)
        # Shorter than the group's limit between two polls, so that this consumer stays a member.
        self._stopping.wait(delay)
