"""Reads the messages of a topic."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, Message

from lean_tracing.kafka import message_headers
from stack.polling import poll_until


def read_topic(
    brokers: str | Mapping[str, Any],
    topic: str,
    is_enough: Callable[[list[Message]], bool],
    seconds: float = 30,
    *,
    group: str | None = None,
) -> list[Message]:
    """Returns the messages of a topic from its beginning.

    Args:
        brokers: their addresses, or the configuration of a client.
        topic: to read.
        is_enough: whether no more messages need to be read.
        seconds: the limit.
        group: of the consumer; one of its own if none is named.
    """
    client = {"bootstrap.servers": brokers} if isinstance(brokers, str) else brokers
    config = {"group.id": group or uuid.uuid4().hex, "auto.offset.reset": "earliest"}
    consumer = Consumer({**client, **config, "reconnect.backoff.max.ms": 200, "log_level": 0})
    messages: list[Message] = []

    def read() -> bool:
        messages.extend(message for message in consumer.consume(1000, 0.1) if message.error() is None)
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
