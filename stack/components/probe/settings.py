"""The section `probe` of the settings."""

from typing import Annotated

from pydantic import Field

from contracts.section import Cpu, Quantity
from stack.components.shared.settings import Size


class Probe(Size):
    """The permanent probe: it sends a request to the gateway, and proves that its telemetry is complete and visible.

    A stack without traffic would not show that its telemetry is lost.
    """

    enabled: bool | None = None
    """By default every stack with the task-manager has it whose trace store can be queried. If off, there is no probe,
    and neither its objective nor its alerts."""
    interval_seconds: Annotated[int, Field(ge=10, le=120)] = 60
    """Time between two requests, in s. Each stores a task and one trace. At most 120, since the shortest window of the
    objective's alerts must hold two proofs."""
    cpu: Cpu = "10m"
    memory: Quantity = "64Mi"
