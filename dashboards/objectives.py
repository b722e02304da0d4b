"""The section `objectives` of the settings."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.section import Section


class Objectives(Section):
    """What the stack promises; alerts and dashboards have their thresholds there."""

    traced: Annotated[float, Field(ge=0, le=1)] = 0.95
    """Share of the operations that must be traced; `tracing.samplingRate` may not be less."""
    availability: Annotated[float, Field(ge=0.5, lt=1)] = 0.999
    """Share of the gateway's requests that must not fail."""
    tasks_in_time: Annotated[float, Field(ge=0.5, lt=1)] = 0.99
    """Share of the tasks that must end within `taskSeconds`."""
    task_seconds: Literal[1, 5, 10, 30, 60, 300] = 30
    """Time from a task's creation to its end, in s: an edge of its histogram, so that it can be counted exactly."""
    telemetry_visible: Annotated[float, Field(ge=0.5, lt=1)] = 0.99
    """Share of the probe's requests whose telemetry must be complete and visible within `visibleSeconds`."""
    visible_seconds: Literal[10, 30, 60] = 60
    """Time from a task's completion until all of its telemetry can be found, in s: an edge of the probe's histogram."""
    error_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """Share of failed operations of a service, within two minutes, from which an alert pages someone."""
    request_ms: Annotated[int, Field(ge=1, le=10_000)] = 1000
    """Time that 99 % of a route's requests must be answered in, in ms."""
    statement_ms: Annotated[int, Field(ge=1, le=10_000)] = 250
    """Time that 95 % of a statement's runs must take at most, in ms."""
    message_seconds: Annotated[int, Field(ge=1, le=1800)] = 10
    """Time within which 95 % of a topic's messages must be handled, in s."""
