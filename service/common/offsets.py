"""Where a consumer group stands in its topic, and how often it has begun the message there without coming to its end.

A message may end the process that handles it: the kernel kills it for its memory, a C library crashes. Kafka then
delivers the message again, and the next process dies as well. So an attempt is counted before it begins, in the
metadata of the committed offset: there the count outlives the process and goes with the partition to another consumer.
"""

from __future__ import annotations

import contextlib
import re
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from service.common.errors import Unavailable

_COMMITTED_SECONDS: Final = 5.0
_UNFINISHED = re.compile(r"unfinished=(\d{1,6})")


class Offsets:
    """Commits for one consumer. All of it, but `give_back`, belongs to the thread that polls."""

    def __init__(self, consumer: Consumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._unfinished: dict[int, tuple[int, int]] = {}
        """By partition: the offset that is committed, and the attempts at it that did not come to an end."""
        self._done: dict[int, int] = {}
        """By partition: the offset behind the last message done, where it is not committed yet."""

    def begin(self, partition: int, offset: int) -> int:
        """Counts an attempt at a message, and returns how many before it came to no end. Raises Unavailable."""
        try:
            if partition not in self._unfinished:
                self._unfinished[partition] = self._committed(partition)
            committed, attempts = self._unfinished[partition]
            before = attempts if committed == offset else 0
            # Waits for the broker: what is not there before the process ends does not count. It also commits all
            # messages before this one.
            self._consumer.commit(offsets=[self._at(partition, offset, before + 1)], asynchronous=False)
        except KafkaException as error:
            raise Unavailable(f"Kafka is away ({error.args[0].name()})") from error
        self._done.pop(partition, None)
        self._unfinished[partition] = (offset, before)
        return before

    def done(self, partition: int, offset: int) -> None:
        """The message has had its effect."""
        self._done[partition] = offset + 1
        self._unfinished[partition] = (offset + 1, 0)

    def give_back(self, partition: int, offset: int) -> None:
        """The message has had no effect yet, through no fault of its own: the attempt does not count."""
        _, before = self._unfinished.get(partition, (offset, 0))
        self._commit_soon([self._at(partition, offset, before)])

    def settle(self) -> None:
        """Commits what is done, without waiting for the broker."""
        if self._done:
            self._commit_soon([self._at(partition, offset) for partition, offset in self._done.items()])
            self._done.clear()

    def revoked(self) -> None:
        """Commits what is done before the partitions go to other consumers."""
        if self._done:
            found = [self._at(partition, offset) for partition, offset in self._done.items()]
            with contextlib.suppress(KafkaException):  # they see the messages again; effects are idempotent
                self._consumer.commit(offsets=found, asynchronous=False)
        self._done.clear()
        self._unfinished.clear()

    def _commit_soon(self, offsets: list[TopicPartition]) -> None:
        with contextlib.suppress(KafkaException):  # the next commit makes up for it
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _committed(self, partition: int) -> tuple[int, int]:
        (found,) = self._consumer.committed([TopicPartition(self._topic, partition)], timeout=_COMMITTED_SECONDS)
        if found.error:
            raise KafkaException(found.error)
        written = _UNFINISHED.fullmatch(found.metadata or "")
        return found.offset, int(written[1]) if written else 0

    def _at(self, partition: int, offset: int, unfinished: int = 0) -> TopicPartition:
        return TopicPartition(self._topic, partition, offset, f"unfinished={unfinished}" if unfinished else "")
