"""The section `kafka` of the settings."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from contracts.section import Cpu, Quantity, quantity_bytes
from stack.components.shared.settings import Stateful

_SMALLEST_OF_SEVERAL: Final = "768Mi"
"""Memory for a broker and for the program that checks its replicas when it starts."""


class Kafka(Stateful):
    """Apache Kafka."""

    brokers: Literal[1, 2, 3] = 1
    """Number of brokers; each is a controller, too. With 3, every message has three copies, an acknowledged one has at
    least two, and one broker may be unavailable. 2 is only a step on the way from 1 to 3: with 2, both are needed."""
    cpu: Cpu = "200m"
    memory: Quantity = "1Gi"
    partitions: Annotated[int, Field(ge=1, le=256)] = 3
    """Partitions of each topic: the largest number of consumers that can read it in parallel."""

    @property
    def in_sync_replicas(self) -> int:
        """Copies of a message, at least, when Kafka acknowledges it."""
        return max(1, self.brokers - 1)

    @model_validator(mode="after")
    def _check_memory_of_several(self) -> Self:
        if self.brokers > 1 and quantity_bytes(self.memory) < quantity_bytes(_SMALLEST_OF_SEVERAL):
            raise ValueError(
                f"memory {self.memory} is less than {_SMALLEST_OF_SEVERAL}, which each of several brokers needs"
            )
        return self
