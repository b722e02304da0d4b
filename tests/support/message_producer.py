"""A producer that sends to a Kafka all the time, and counts how that went."""

import threading
from collections.abc import Mapping
from typing import Any, Self

from confluent_kafka import KafkaError, Message, Producer

from stack.polling import poll_until


class MessageProducer:
    """Sends one message after the other, as the services do, from a thread of its own."""

    def __init__(self, topic: str, configuration: Mapping[str, Any], name: str = "message") -> None:
        """Prepares it.

        Args:
            topic: to which it sends.
            configuration: of a client.
            name: with which each message begins.
        """
        self._topic, self._name = topic, name
        defaults = {"enable.idempotence": True, "message.timeout.ms": 600_000, "log_level": 0}
        self._producer = Producer({**defaults, **configuration})
        self.acknowledged: list[bytes] = []
        """The messages that the brokers keep, in the order of their acknowledgements."""
        self.errors: list[KafkaError] = []
        """Why the others were not acknowledged."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begins to send."""
        self._thread.start()

    def stop(self) -> None:
        """Returns when it is known of each message how it went."""
        self._ended.set()
        self._thread.join()
        self._producer.flush(600)

    def await_further(self, number: int) -> None:
        """Returns when so many further messages are acknowledged."""
        count = len(self.acknowledged)
        poll_until("acknowledged messages", lambda: len(self.acknowledged) >= count + number)

    def _run(self) -> None:
        number = 0
        while not self._ended.wait(0.01):
            number += 1
            self._producer.produce(self._topic, f"{self._name} {number}".encode(), on_delivery=self._note)
            self._producer.poll(0)

    def _note(self, error: KafkaError | None, message: Message) -> None:
        if error:
            self.errors.append(error)
        else:
            self.acknowledged.append(message.value() or b"")
