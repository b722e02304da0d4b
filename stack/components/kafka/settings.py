"""The section `kafka` of the settings."""

from typing import Annotated

from pydantic import Field

from contracts.section import Cpu, Quantity
from stack.components.shared.settings import Stateful


class Kafka(Stateful):
    """Apache Kafka: one broker."""

    cpu: Cpu = "200m"
    memory: Quantity = "1Gi"
    partitions: Annotated[int, Field(ge=1, le=256)] = 3
    """Partitions of each topic: the largest number of consumers that can read it in parallel."""
