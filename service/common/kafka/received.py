"""A received message, free of the Kafka client's types."""

from collections.abc import Sequence
from dataclasses import dataclass

from lean_tracing.propagation import KafkaHeader


@dataclass(frozen=True, kw_only=True)
class Received:
    """A message as handlers see it."""

    headers: Sequence[KafkaHeader]
    value: bytes | None
    topic: str
    partition: int
    offset: int

    @property
    def place(self) -> str:
        """`topic/partition/offset`."""
        return f"{self.topic}/{self.partition}/{self.offset}"
