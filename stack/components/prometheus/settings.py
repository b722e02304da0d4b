"""The section `metrics` of the settings."""

from typing import Annotated

from pydantic import Field

from contracts.section import Quantity
from stack.components.shared.settings import Stateful


class Metrics(Stateful):
    """Prometheus, the metric store."""

    memory: Quantity = "512Mi"
    volume: Quantity = "10Gi"
    replicas: Annotated[int, Field(ge=1, le=5)] = 1
    """Number of pods. Each scrapes every target and evaluates every rule; Alertmanager sends their alerts once."""
    scrape_interval_seconds: Annotated[int, Field(ge=1, le=15)] = 15
    """Time between two scrapes, in s. The fastest alerts use a window of one minute, which must hold four scrapes."""
