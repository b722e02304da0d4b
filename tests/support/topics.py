"""Reads the messages of a topic."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Consumer, Message

from lean_tracing.kafka import message_headers
from stack.polling import poll_until


def read_topic(
    addresses: str, topic: str, is_enough: Callable[[list[Message]], bool], seconds: float = 30
) -> list[Message]:
    """The messages of a topic from its beginning, until `is_enough`."""
    config = {"bootstrap.servers": addresses, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
    consumer = Consumer({**config, "reconnect.backoff.max.ms": 200, "log_level": 0})
    messages: list[Message] = []

    def read() -> bool:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            messages.append(message)
        return is_enough(messages)

    try:
        consumer.subscribe([topic])
        poll_until(f"messages of {topic}", read, seconds=seconds)
    finally:
        consumer.close()
    return messages


def headers_of(message: Message) -> dict[str, Any]:
    """The headers by name."""
    return dict(message_headers(message))


def ids(messages: Sequence[Message]) -> list[str]:
    """The header `id` of each message."""
    return [headers_of(message)["id"].decode() for message in messages]
