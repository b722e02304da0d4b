"""Handles one message: counts the attempt, calls the handler, dead-letters what cannot be handled, and measures."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Message
from opentelemetry.trace import Span

from contracts.service_metrics import OUTCOME_DEAD_LETTER
from lean_tracing import TraceManager
from lean_tracing.kafka import TracingConsumer, message_headers
from service.common.errors import Misdirected, Rejected, Unavailable
from service.common.kafka.offsets import Offsets
from service.common.kafka.publisher import KafkaPublisher
from service.common.kafka.received import Received
from service.common.metrics import Metrics

_UNEXPECTED: Final = "an unexpected error happened"
_logger = logging.getLogger(__name__)

Handler = Callable[[Received], str]
Abandon = Callable[[Received, str], None]


class EndedProcess(Rejected):
    """The process has ended during this message as often as `message_attempts` allows."""


@dataclass(frozen=True)
class InProgress:
    """The message that is being handled."""

    offsets: Offsets
    partition: int
    offset: int
    since: float
    """On the monotonic clock."""

    def release(self) -> None:
        """The process ends during the message for another reason: the attempt does not count."""
        self.offsets.release(self.partition, self.offset)


class MessageProcessor:
    """Handles messages one by one; see `ConsumerLoop` for `handler` and `abandon`."""

    def __init__(
        self,
        *,
        attempts: int,
        traces: TraceManager,
        metrics: Metrics,
        publisher: KafkaPublisher,
        handler: Handler,
        abandon: Abandon | None,
    ) -> None:
        """attempts: how often the process may end during one message before the message is dead-lettered."""
        self._attempts = attempts
        self._traces = traces
        self._metrics = metrics
        self._publisher = publisher
        self._handler = handler
        self._abandon = abandon
        self.in_progress: InProgress | None = None

    def process(self, message: Message, offsets: Offsets, tracing: TracingConsumer) -> None:
        """Handles `message` and marks it as finished.

        Raises:
            Unavailable: The message has had no effect and must be delivered again.
        """
        started = time.perf_counter()
        partition, offset = message.partition() or 0, message.offset() or 0
        ended_processes = offsets.begin(partition, offset)
        received = self._read(message, ended_processes)
        waited = _seconds_since_sent(message)
        self.in_progress = InProgress(offsets, partition, offset, time.monotonic())
        try:
            with tracing.process(message) as processing:
                processing.outcome = self._handle(message, received, ended_processes, processing.span)
        except Unavailable:
            offsets.release(partition, offset)
            raise
        finally:
            self.in_progress = None
        offsets.finish(partition, offset)
        self._measure(received, processing.outcome, processing.span, time.perf_counter() - started, waited)
        if (lag := tracing.lag(message)) is not None:
            self._metrics.lag.labels(received.topic, str(partition)).set(lag)

    def _may_abandon(self, ended_processes: int) -> bool:
        # If processes still end after twice the attempts, the cause may be the headers or `abandon`: skip both.
        return ended_processes < 2 * self._attempts

    def _read(self, message: Message, ended_processes: int) -> Received:
        """Called after the attempt is counted: reading the headers may be what ends the process."""
        if self._may_abandon(ended_processes):
            headers = message_headers(message)
        else:
            headers = ()
            message.set_headers([])
        return Received(
            headers=headers,
            value=message.value(),
            topic=message.topic() or "",
            partition=message.partition() or 0,
            offset=message.offset() or 0,
        )

    def _handle(self, message: Message, received: Received, ended_processes: int, span: Span) -> str:
        try:
            if ended_processes >= self._attempts:
                raise EndedProcess(f"the process ended {ended_processes} times while it handled this message")
            return self._handler(received)
        except Unavailable:
            raise
        except BaseException as error:  # `sys.exit` in a library must not end the consumer either
            self._traces.fail(span, error)
            self._dead_letter(message, received, error, abandon=self._may_abandon(ended_processes))
            return OUTCOME_DEAD_LETTER

    def _dead_letter(self, message: Message, received: Received, error: BaseException, *, abandon: bool) -> None:
        """Sends a message that cannot be handled to the dead-letter topic. Raises Unavailable."""
        reason = self._traces.redactor.text(f"{type(error).__name__}: {error}")
        # A rejected message is the sender's mistake; a stack trace of this service would not help.
        stack = None if isinstance(error, Rejected) else error
        _logger.error("message dead-lettered: %s: %s", received.place, reason, exc_info=stack)
        if self._abandon is not None and abandon and not isinstance(error, Misdirected):
            try:
                # Users read this text: it names what is wrong with their request, and no bug of this service.
                self._abandon(received, self._traces.redactor.text(str(error)) if stack is None else _UNEXPECTED)
            except Unavailable:
                raise
            except BaseException:
                _logger.exception("the task of a dead-lettered message was not ended: %s", received.place)
        try:
            self._publisher.dead_letter(message, reason)
        except Rejected:
            # The message stays in its topic, and the messages behind it must go on.
            _logger.exception("message skipped, the dead-letter topic does not take it: %s", received.place)

    def _measure(self, received: Received, outcome: str, span: Span, seconds: float, waited: float | None) -> None:
        topic, stored = received.topic, self._metrics.stored
        self._metrics.consumed.labels(topic, outcome).inc()
        self._metrics.processing.labels(topic).observe(seconds, stored.exemplar(seconds, span))
        if waited is not None:
            self._metrics.waited.labels(topic).observe(waited, stored.exemplar(span=span))


def _seconds_since_sent(message: Message) -> float | None:
    """By the clocks of both machines; None for a message without a timestamp."""
    sent_ms = message.timestamp()[1]
    return max(0.0, time.time() - sent_ms / 1000) if sent_ms > 0 else None
