"""A change of the stack, with its time."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of the stack."""

    seconds: float
    """When, in s since the epoch."""
    text: str
    target: str = ""
    """Kind and name of the workload, if the change is its revision."""


def seconds_of(time: str) -> float:
    """Return the time of Kubernetes' JSON in s since the epoch."""
    return datetime.fromisoformat(time).timestamp()
