"""A change of the stack, with its time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar


class _Timed(Protocol):
    @property
    def seconds(self) -> float: ...


Item = TypeVar("Item", bound=_Timed)


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


def in_groups(in_order: Sequence[Item], seconds: float) -> Iterator[list[Item]]:
    """Yield the runs of items of which each is at most so many seconds after the one before."""
    group: list[Item] = []
    for item in in_order:
        if group and item.seconds - group[-1].seconds > seconds:
            yield group
            group = []
        group.append(item)
    yield group
