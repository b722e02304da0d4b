"""A consumer group's offsets, and the count of attempts at a message that did not finish.

A message may end the process that handles it: the kernel kills the process for its memory, or a C library crashes.
Kafka then delivers the message again, and the next process ends as well. So each attempt is counted before it begins,
in the metadata of the committed offset: there the count survives the process and follows the partition to another
consumer.
"""

import contextlib
import re
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from service.common.errors import Unavailable

_COMMITTED_SECONDS: Final = 5.0
_UNFINISHED = re.compile(r"unfinished=(\d{1,6})")


class Offsets:
    """Commits for one consumer. All methods but `release` belong to the thread that polls."""

    def __init__(self, consumer: Consumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._unfinished: dict[int, tuple[int, int]] = {}
        """By partition: the committed offset, and the attempts at that message that did not finish."""
        self._done: dict[int, int] = {}
        """By partition: the offset after the last finished message, while it is not committed."""

    def begin(self, partition: int, offset: int) -> int:
        """Counts an attempt at a message.

        Returns:
            The number of earlier attempts that did not finish.

        Raises:
            Unavailable: The broker did not commit.
        """
        try:
            if partition not in self._unfinished:
                self._unfinished[partition] = self._committed(partition)
            committed, attempts = self._unfinished[partition]
            earlier_attempts = attempts if committed == offset else 0
            # Waits for the broker: the count must be stored before the process can end. This also commits all earlier
            # messages.
            position = self._position(partition, offset, earlier_attempts + 1)
            self._consumer.commit(offsets=[position], asynchronous=False)
        except KafkaException as error:
            raise Unavailable("Kafka is unavailable", error.args[0].name()) from error
        self._done.pop(partition, None)
        self._unfinished[partition] = (offset, earlier_attempts)
        return earlier_attempts

    def finish(self, partition: int, offset: int) -> None:
        """The message has had its effect."""
        self._done[partition] = offset + 1
        self._unfinished[partition] = (offset + 1, 0)

    def release(self, partition: int, offset: int) -> None:
        """The message has had no effect yet, and is not the cause: this attempt does not count."""
        _, earlier_attempts = self._unfinished.get(partition, (offset, 0))
        self._commit_async([self._position(partition, offset, earlier_attempts)])

    def commit_finished(self) -> None:
        """Commits the finished messages, without waiting for the broker."""
        if self._done:
            self._commit_async([self._position(partition, offset) for partition, offset in self._done.items()])
            self._done.clear()

    def on_revoke(self) -> None:
        """Commits the finished messages before the partitions go to other consumers."""
        if self._done:
            positions = [self._position(partition, offset) for partition, offset in self._done.items()]
            with contextlib.suppress(KafkaException):  # other consumers get the messages again; effects are idempotent
                self._consumer.commit(offsets=positions, asynchronous=False)
        self._done.clear()
        self._unfinished.clear()

    def _commit_async(self, positions: list[TopicPartition]) -> None:
        with contextlib.suppress(KafkaException):  # the next commit includes these
            self._consumer.commit(offsets=positions, asynchronous=True)

    def _committed(self, partition: int) -> tuple[int, int]:
        (position,) = self._consumer.committed([TopicPartition(self._topic, partition)], timeout=_COMMITTED_SECONDS)
        if position.error:
            raise KafkaException(position.error)
        unfinished = _UNFINISHED.fullmatch(position.metadata or "")
        return position.offset, int(unfinished[1]) if unfinished else 0

    def _position(self, partition: int, offset: int, unfinished: int = 0) -> TopicPartition:
        return TopicPartition(self._topic, partition, offset, f"unfinished={unfinished}" if unfinished else "")
