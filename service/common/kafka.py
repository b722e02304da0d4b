"""Kafka as the services use it: publishing that waits for the ack, and consumption that loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from service.common import brokers
from service.common.config import ServiceSettings
from service.common.errors import Misdirected, Rejected, Unavailable
from service.common.messages import Outgoing, dead_letter_topic
from service.common.metrics import Metrics
from service.common.offsets import Offsets
from service.tracing import TraceManager
from service.tracing.kafka import TracingConsumer, TracingProducer, message_headers
from service.tracing.propagation import KafkaHeader

# Also bounds how long a stop waits for an idle consumer.
_POLL_SECONDS = 0.2
_LONGEST_BACKOFF = 10.0
# The client reports every message once its own limit is over; so much more is for that report.
_REPORT_SECONDS = 1.0
_FLUSH_SECONDS = 2.0
# A fetch of the crawler may outlive it, and comes again then; a stop has 30 s for all it does.
_HANDLER_SECONDS = 10.0
_NEVER_TAKEN = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE})
# A consumer that hears nothing asks whether it still could.
_SILENCE_SECONDS = 5.0
SESSION_MS = 10_000
"""So long after a consumer's death its partitions go to others."""
MAX_POLL_MS = 300_000
"""A message in hand for longer hangs: Kafka takes its partition away, and only a restart frees the thread."""
DEAD_LETTER = "dead_letter"
RETRIED = "retried"
_UNEXPECTED = "an unexpected error happened"

_logger = logging.getLogger(__name__)
_client_logger = logging.getLogger("librdkafka")


class Backoff:
    """Delays that double, from 0.1 s up to 10 s."""

    def __init__(self) -> None:
        self._next = 0.1

    def seconds(self) -> float:
        """The next delay."""
        now, self._next = self._next, min(self._next * 2, _LONGEST_BACKOFF)
        return now

    def reset(self) -> None:
        """Begins anew, after a success."""
        self._next = 0.1


class KafkaPublisher:
    """Publishes and waits for the broker's ack, so that a caller knows the message is safe."""

    def __init__(
        self,
        settings: ServiceSettings,
        traces: TraceManager,
        metrics: Metrics,
        *,
        client_id: str,
        topics: Sequence[str],
    ) -> None:
        """topics: those the service reads or writes; `ensure_topics` creates the ones that are missing."""
        self._topics = topics
        self._topics_exist = False
        self._broken = False
        self._ack_seconds = settings.publish_timeout_ms / 1000
        self._partitions = settings.topic_partitions
        self._metrics = metrics
        self._traces = traces
        self._client = brokers.configuration(settings, client_id)
        self._open()
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="kafka-delivery", daemon=True)

    def _open(self) -> None:
        self._producer = Producer(
            {
                **self._client,
                # No duplicates from retries inside the client, and acks of all in-sync replicas.
                "enable.idempotence": True,
                "linger.ms": 1,
                # After this the client gives the message up: what a caller was told failed shall not arrive later.
                "message.timeout.ms": round(self._ack_seconds * 1000),
                "topic.metadata.refresh.interval.ms": 30_000,
            },
            logger=_client_logger,
        )
        self._tracing = TracingProducer(self._producer, self._traces, client_id=self._client["client.id"])
        self._watch = brokers.Watch(self._producer, self._client)

    def start(self) -> None:
        """Begins to serve delivery reports."""
        self._poller.start()

    def stop(self) -> None:
        """Sends what is still queued; nothing is, unless somebody gave up waiting for it."""
        self._producer.flush(_FLUSH_SECONDS)
        self._stopping.set()
        self._poller.join(_POLL_SECONDS * 5)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            try:
                self._producer.poll(_POLL_SECONDS)
            except BaseException:  # of what was called with a report; the reports of other messages must go on
                self._metrics.loop_failures.labels(self._poller.name).inc()
                _logger.exception("the report of a message's delivery failed")

    def publish(self, message: Outgoing) -> None:
        """Returns when the broker has the message.

        Raises Unavailable when it has not within the time limit, and Rejected when it never will (too large).
        """
        self._send_and_wait(message.topic, message.value, message.key, message.headers)

    async def publish_async(self, message: Outgoing) -> None:
        """As `publish`, for the event loop: waiting costs no thread, however many wait."""
        loop = asyncio.get_running_loop()
        report: asyncio.Future[KafkaError | None] = loop.create_future()

        def finish(error: KafkaError | None) -> None:
            if not report.done():  # who waited may have gone
                report.set_result(error)

        def delivered(error: KafkaError | None) -> None:
            # The loop may have ended; the delivery of other messages must not.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(finish, error)

        self._send(message.topic, message.value, message.key, message.headers, delivered)
        try:
            error = await asyncio.wait_for(report, self._ack_seconds + _REPORT_SECONDS)
        except TimeoutError:
            raise self._gone("no delivery report") from None
        if error is not None:
            raise self._failure(error)

    def dead_letter(self, message: Message, reason: str) -> None:
        """Puts `message` aside, as it came, with the reason. Raises Unavailable.

        One that is too large with the reason on it goes without its body; `dead-letter-source` says where that is.
        """
        source = message.topic() or ""
        topic = dead_letter_topic(source)
        headers: list[KafkaHeader] = [
            *message_headers(message),
            # The cut falls between characters, or readers of the header cannot decode it.
            ("dead-letter-reason", reason.encode("utf-8", "replace")[:1024].decode("utf-8", "ignore").encode()),
            ("dead-letter-source", f"{source}/{message.partition()}/{message.offset()}".encode()),
        ]
        try:
            self._send_and_wait(topic, message.value(), message.key(), headers)
        except Rejected:
            own = [header for header in headers if header[0].startswith("dead-letter-")]
            self._send_and_wait(topic, None, None, [*own, ("dead-letter-body", b"left out, too large")])

    def _send_and_wait(
        self, topic: str, value: bytes | None, key: str | bytes | None, headers: Sequence[KafkaHeader]
    ) -> None:
        done = threading.Event()
        report: list[KafkaError | None] = []

        def delivered(error: KafkaError | None) -> None:
            report.append(error)
            done.set()

        self._send(topic, value, key, headers, delivered)
        if not done.wait(self._ack_seconds + _REPORT_SECONDS):
            raise self._gone("no delivery report")
        if report[0] is not None:
            raise self._failure(report[0])

    def _send(
        self,
        topic: str,
        value: bytes | None,
        key: str | bytes | None,
        headers: Sequence[KafkaHeader],
        delivered: Callable[[KafkaError | None], None],
    ) -> None:
        def counted(error: KafkaError | None, _: Message) -> None:
            self._metrics.produced.labels(topic, "failure" if error else "success").inc()
            delivered(error)

        try:
            self._tracing.produce(topic, value, key=key, headers=headers, on_delivery=counted)
        except KafkaException as error:
            self._metrics.produced.labels(topic, "failure").inc()
            raise self._failure(error.args[0]) from error
        except BufferError as error:
            self._metrics.produced.labels(topic, "failure").inc()
            raise self._gone("its queue here is full") from error

    @property
    def alive(self) -> bool:
        """False only after a failure that a restart of the process may cure."""
        return not self._broken

    def _failure(self, error: KafkaError) -> Exception:
        if error.fatal() and not self._broken:
            # The client takes nothing any more once it cannot promise its order.
            self._broken = True
            _logger.error("the Kafka client gave up: %s", error.str())
        if error.code() in _NEVER_TAKEN:
            return Rejected(f"Kafka does not take the message ({error.name()})")
        return self._gone(error.name())

    @staticmethod
    def _gone(why: str) -> Unavailable:
        return Unavailable(f"Kafka is away ({why})")

    def check(self) -> None:
        """Raises when no broker answers, or the topics are missing and cannot be made."""
        if not self._topics_exist:
            self.ensure_topics()
            return
        try:
            self._watch.ask()
        except brokers.Lost as error:
            _logger.warning("the producer is made anew: %s", error)
            before = self._producer
            self._open()
            # Whoever waits for a message in it gets an answer: the client gives each up in time.
            before.flush(self._ack_seconds + _REPORT_SECONDS)
            raise

    def ensure_topics(self) -> None:
        """Creates the topics that are missing; safe to call from several services at once. Raises Unavailable."""
        admin = AdminClient(self._client, logger=_client_logger)
        try:
            missing = [
                name
                for name in self._topics
                if admin.list_topics(name, timeout=brokers.CHECK_SECONDS).topics[name].error
            ]
            if missing:
                # -1: as many replicas as the cluster's own default says.
                wanted = [NewTopic(name, num_partitions=self._partitions, replication_factor=-1) for name in missing]
                for name, creation in admin.create_topics(wanted, request_timeout=10.0).items():
                    self._finish_creation(name, creation)
        except KafkaException as error:
            raise Unavailable(f"Kafka is away ({error.args[0].name()})") from error
        self._topics_exist = True

    def _finish_creation(self, topic: str, creation: Future[None]) -> None:
        try:
            creation.result()
            _logger.info("topic %s created with %d partitions", topic, self._partitions)
        except KafkaException as error:
            # Another service was faster.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


@dataclass(frozen=True, kw_only=True)
class Received:
    """A message as handlers see it: nothing of the Kafka client in it."""

    headers: Sequence[KafkaHeader]
    value: bytes | None
    topic: str
    partition: int
    offset: int


Handler = Callable[[Received], str]
Abandon = Callable[[Received, str], None]


class EndedProcess(Rejected):
    """A message that the process did not survive, as often as one may."""


@dataclass(frozen=True)
class _InHand:
    offsets: Offsets
    partition: int
    offset: int
    since: float


class ConsumerLoop:
    """Consumes one topic in a thread, at least once: a message's offset is stored after its effect, never before.

    `handler` returns an outcome for metrics and span. When it raises Unavailable the message comes again after a delay,
    for as long as it takes; anything else it raises sends the message to the topic's dead letters. So does a message
    whose handling has ended the process `settings.message_attempts` times.
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
        max_poll_ms: int | None = None,
    ) -> None:
        """prepare: called before the first message, again until it no longer raises Unavailable (topics, schema).

        abandon: called with a message and the reason before it is dead-lettered, to tell those who wait for its effect.
        May raise Unavailable.

        max_poll_ms: how long a message may be in hand, `MAX_POLL_MS` by default.
        """
        self._max_poll_ms = max_poll_ms or MAX_POLL_MS
        self._topic = topic
        self._group = group
        self._settings = settings
        self._traces = traces
        self._metrics = metrics
        self._publisher = publisher
        self._handler = handler
        self._prepare = prepare
        self._abandon = abandon
        self._attempts = settings.message_attempts
        self._in_hand: _InHand | None = None
        self._stopping = threading.Event()
        self._backoff = Backoff()
        self._thread = threading.Thread(target=self._run, name=f"consume-{topic}", daemon=True)

    def start(self) -> None:
        """Begins to consume, as soon as the dependencies are there."""
        self._thread.start()

    def stop(self) -> None:
        """Finishes the message in hand, commits and leaves the group."""
        self._stopping.set()
        self._thread.join(_HANDLER_SECONDS)
        in_hand = self._in_hand
        if self._thread.is_alive() and in_hand and not self._hangs(in_hand):
            # The process ends in the midst of it because it was told to.
            in_hand.offsets.give_back(in_hand.partition, in_hand.offset)

    @property
    def alive(self) -> bool:
        """Whether the loop runs and no message hangs. False is a failure that a restart may cure."""
        if self._stopping.is_set():
            return True
        in_hand = self._in_hand
        return self._thread.is_alive() and not (in_hand and self._hangs(in_hand))

    def _hangs(self, in_hand: _InHand) -> bool:
        return time.monotonic() - in_hand.since > self._max_poll_ms / 1000

    def _run(self) -> None:
        prepared = False
        while not self._stopping.is_set():
            try:
                if not prepared:
                    with self._traces.suppressed():
                        self._prepare()
                    prepared = True
                    self._backoff.reset()
                self._consume()
            except Unavailable as error:
                delay = self._backoff.seconds()
                _logger.warning("not ready to consume %s, next try in %.1f s: %s", self._topic, delay, error)
                self._stopping.wait(delay)
            except BaseException:  # whatever it was, the messages wait
                self._metrics.loop_failures.labels(self._thread.name).inc()
                delay = self._backoff.seconds()
                _logger.exception("consumption of %s failed, next try in %.1f s", self._topic, delay)
                self._stopping.wait(delay)

    def _consume(self) -> None:
        """Until the loop is stopped, or this consumer has lost its brokers."""
        client_id = f"{self._group}-consumer"
        configured = brokers.configuration(self._settings, client_id)
        config: dict[str, Any] = {
            **configured,
            "group.id": self._group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,  # see `Offsets`
            # Messages are handled one by one: what waits here beside the next few is memory only.
            "queued.max.messages.kbytes": 16_384,
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": SESSION_MS // 3,
            "max.poll.interval.ms": self._max_poll_ms,
            # A topic made a moment ago is found by the next refresh, not after the default five minutes.
            "topic.metadata.refresh.interval.ms": 10_000,
        }
        consumer = Consumer(config, logger=_client_logger)
        tracing = TracingConsumer(consumer, self._traces, group=self._group, client_id=client_id)
        watch = brokers.Watch(consumer, configured)
        offsets = Offsets(consumer, self._topic)

        def revoked(consumer: Consumer, _partitions: list[TopicPartition]) -> None:
            offsets.revoked()
            self._assigned(consumer, [])

        try:
            self._assigned(consumer, [])
            # There from the beginning, so that nobody misses their first step.
            self._metrics.processing.labels(self._topic)
            self._metrics.waited.labels(self._topic)
            consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=revoked)
            _logger.info("consuming %s as group %s", self._topic, self._group)
            heard = time.monotonic()
            while not self._stopping.is_set():
                message = consumer.poll(0)
                if message is None:
                    offsets.settle()
                    message = consumer.poll(_POLL_SECONDS)
                if message is None:
                    if time.monotonic() - heard > _SILENCE_SECONDS:
                        with contextlib.suppress(KafkaException):
                            watch.ask()
                        heard = time.monotonic()
                    continue
                heard = time.monotonic()
                error = message.error()
                if error is None:
                    self._process(consumer, offsets, tracing, message)
                elif error.fatal():
                    raise KafkaException(error)
                else:
                    _logger.warning("consumer of %s: %s", self._topic, error.str())
        except brokers.Lost as error:
            _logger.warning("the consumer of %s is made anew: %s", self._topic, error)
        finally:
            offsets.settle()
            consumer.close()

    def _assigned(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._metrics.partitions.labels(self._topic).set(len(partitions))

    def _process(self, consumer: Consumer, offsets: Offsets, tracing: TracingConsumer, message: Message) -> None:
        started = time.perf_counter()
        partition, offset = message.partition() or 0, message.offset() or 0
        try:
            deaths = offsets.begin(partition, offset)
        except Unavailable as error:
            self._come_back_to(consumer, partition, offset, error)
            return
        # Only now: to read headers may be what ends the process.
        if tell := deaths < 2 * self._attempts:
            headers = message_headers(message)
        else:
            # What has ended the process so often may be them, or what `_abandon` does: neither is tried again.
            headers = ()
            message.set_headers([])
        received = Received(
            headers=headers, value=message.value(), topic=self._topic, partition=partition, offset=offset
        )
        sent_ms = message.timestamp()[1]
        waited = max(0.0, time.time() - sent_ms / 1000) if sent_ms > 0 else None
        self._in_hand = _InHand(offsets, partition, offset, time.monotonic())
        try:
            with tracing.process(message) as processing:
                try:
                    if deaths >= self._attempts:
                        raise EndedProcess(f"the process ended {deaths} times while it handled this message")
                    processing.outcome = self._handler(received)
                except Unavailable:
                    raise
                except BaseException as error:  # `sys.exit` in a library is no reason to end either
                    self._traces.fail(processing.span, error)
                    self._put_aside(message, received, error, abandon=tell)
                    processing.outcome = DEAD_LETTER
        except Unavailable as error:
            offsets.give_back(partition, offset)
            self._come_back_to(consumer, partition, offset, error)
            return
        finally:
            self._in_hand = None
        offsets.done(partition, offset)
        self._backoff.reset()
        self._metrics.consumed.labels(self._topic, processing.outcome).inc()
        seconds = time.perf_counter() - started
        self._metrics.processing.labels(self._topic).observe(
            seconds, self._metrics.stored.exemplar(seconds, processing.span)
        )
        if waited is not None:
            self._metrics.waited.labels(self._topic).observe(
                waited, self._metrics.stored.exemplar(span=processing.span)
            )
        if (lag := tracing.lag(message)) is not None:
            self._metrics.lag.labels(self._topic, str(partition)).set(lag)

    def _put_aside(self, message: Message, received: Received, error: BaseException, *, abandon: bool) -> None:
        """Sends a message that cannot be handled to the dead letters. Raises Unavailable."""
        reason = self._traces.redactor.text(f"{type(error).__name__}: {error}")
        place = (self._topic, received.partition, received.offset)
        # The sender's doing needs no stack of ours.
        stack = None if isinstance(error, Rejected) else error
        _logger.error("message put aside: %s/%d/%d: %s", *place, reason, exc_info=stack)
        if self._abandon is not None and abandon and not isinstance(error, Misdirected):
            try:
                # Users read it: what was wrong with their request, and nothing of our bugs.
                self._abandon(received, self._traces.redactor.text(str(error)) if stack is None else _UNEXPECTED)
            except Unavailable:
                raise
            except BaseException:
                _logger.exception("nobody was told that a message was put aside: %s/%d/%d", *place)
        try:
            self._publisher.dead_letter(message, reason)
        except Rejected:
            # It stays in its topic, and the messages behind it must go on.
            _logger.exception("message skipped, the dead letters do not take it: %s/%d/%d", *place)

    def _come_back_to(self, consumer: Consumer, partition: int, offset: int, error: Unavailable) -> None:
        delay = self._backoff.seconds()
        self._metrics.consumed.labels(self._topic, RETRIED).inc()
        _logger.warning("message %s/%d/%d again in %.1f s: %s", self._topic, partition, offset, delay, error)
        try:
            consumer.seek(TopicPartition(self._topic, partition, offset))
        except KafkaException as gone:
            _logger.warning("partition is no longer ours: %s", gone)
        # Shorter than the group's limit between two polls, so that we stay a member of it.
        self._stopping.wait(delay)
