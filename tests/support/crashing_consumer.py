"""A consumer whose handler ends the process in the way that the message names.

Arguments: brokers, topic, file that gets a line for each step of a message, number of attempts, milliseconds that a
message may be in progress.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import Message

from contracts.topics import dead_letter_topic
from lean_tracing import TracingSettings, start_tracing
from lean_tracing.kafka import message_headers
from lean_tracing.propagation import KafkaHeader
from service.common.config import ServiceSettings
from service.common.errors import Rejected
from service.common.kafka import processing
from service.common.kafka.consumer import ConsumerLoop, ConsumerTiming
from service.common.kafka.publisher import KafkaPublisher
from service.common.kafka.received import Received
from service.common.metrics import Metrics


def main(brokers: str, topic: str, log: Path, attempts: int, max_poll_ms: int) -> None:
    """Consumes until SIGTERM, or until the loop is no longer alive, as Kubernetes would end it."""

    def headers(message: Message) -> Sequence[KafkaHeader]:
        if message.value() == b"headers" and message.headers():
            ctypes.string_at(0)
        return message_headers(message)

    vars(processing)["message_headers"] = headers
    traces = start_tracing(TracingSettings(enabled=False)).traces
    settings = ServiceSettings(kafka_bootstrap_servers=brokers, message_attempts=attempts)
    topics = (topic, dead_letter_topic(topic))
    publisher = KafkaPublisher(settings, traces, Metrics(), client_id="crashing", topics=topics)

    def note(step: str, received: Received) -> None:
        with log.open("a") as file:
            file.write(f"{step} {(received.value or b'').decode()}\n")

    def handle(received: Received) -> str:
        note("begun", received)
        match received.value:
            case b"killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case b"crash":
                ctypes.string_at(0)
            case b"bad":
                raise Rejected("no")
            case b"slow":
                threading.Event().wait(60)
        note("done", received)
        return "done"

    def abandon(received: Received, reason: str) -> None:
        note("abandoned", received)
        if received.value == b"crash":  # again, in `abandon`
            ctypes.string_at(0)
        assert received.value == b"bad" or reason.startswith(f"the process ended {attempts} times")

    loop = ConsumerLoop(
        topic=topic,
        group="crashing",
        settings=settings,
        traces=traces,
        metrics=Metrics(),
        publisher=publisher,
        handler=handle,
        prepare=publisher.ensure_topics,
        abandon=abandon,
        timing=ConsumerTiming(session_ms=1000, max_poll_ms=max_poll_ms, stop_seconds=0.5),
    )
    publisher.start()
    loop.start()
    while loop.alive and not signal.sigtimedwait({signal.SIGTERM}, 0.05):
        pass
    loop.stop()
    publisher.stop()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
