"""What the series say: medians, spreads, what a variant adds to bare, and ours against stock."""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from checks.bench.measure import BARE, OURS, STOCK, Series, Subject

_RESAMPLES = 2000
# The smallest difference that is told from none; a ratio to less than that says nothing.
_LEAST_MICROSECONDS = 0.01


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """What ours adds over what stock adds, with the 95 % interval from resampled rounds."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A limit, and whether it was kept."""

    name: str
    measured: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        """At most the limit."""
        return self.measured <= self.limit


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    if len(values) == 1:
        return Spread(median=values[0], low=values[0], high=values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median=median, low=low, high=high)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def added(series: Mapping[Subject, Series], subject: Subject) -> list[float]:
    """µs of CPU an operation beyond bare, round by round: neighbours in time, so that noise they share goes out."""
    return [traced - bare for traced, bare in zip(series[subject].cpu, series[BARE].cpu, strict=True)]


def ratio(series: Mapping[Subject, Series]) -> Ratio:
    """Ours to stock, of the medians of what they add."""
    ours, stock = added(series, OURS), added(series, STOCK)
    chance = random.Random(4)  # the same rounds give the same interval
    rounds = range(len(ours))
    resampled = []
    for _ in range(_RESAMPLES):
        chosen = chance.choices(rounds, k=len(ours))
        resampled.append(_quotient([ours[index] for index in chosen], [stock[index] for index in chosen]))
    return Ratio(value=_quotient(ours, stock), low=quantile(resampled, 0.025), high=quantile(resampled, 0.975))


def _quotient(ours: Sequence[float], stock: Sequence[float]) -> float:
    return statistics.median(ours) / max(statistics.median(stock), _LEAST_MICROSECONDS)


@dataclass(kw_only=True)
class Results:
    """All of a run."""

    machine: dict[str, str]
    scenarios: dict[str, dict[Subject, Series]]
    memory: dict[Subject, list[float]]

    def goals(self) -> list[Goal]:
        """What issue-level limits say of this run."""
        limits = {"request": (0.25, None), "create": (0.5, 300.0), "process": (0.5, 300.0)}
        names = {
            "request": "HTTP request",
            "create": "HTTP + SQL + Kafka publish",
            "process": "Kafka consume + SQL + publish",
        }
        goals = []
        for scenario, (share, microseconds) in limits.items():
            series = self.scenarios[scenario]
            found = ratio(series).value
            goals.append(Goal(name=f"{names[scenario]}: CPU added, to stock's", measured=found, limit=share, unit="x"))
            if microseconds is not None:
                goals.append(
                    Goal(
                        name=f"{names[scenario]}: CPU added",
                        measured=statistics.median(added(series, OURS)),
                        limit=microseconds,
                        unit="µs",
                    )
                )
        extra = statistics.median(self.memory[OURS]) - statistics.median(self.memory[BARE])
        goals.append(Goal(name="memory added", measured=extra, limit=25.0, unit="MiB"))
        lost = sum(abs(series[OURS].ended - series[OURS].received) for series in self.scenarios.values())
        goals.append(Goal(name="spans ended and not received", measured=float(lost), limit=0.0, unit="spans"))
        return goals

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "machine": self.machine,
            "scenarios": {
                scenario: {str(subject): asdict(values) for subject, values in series.items()}
                for scenario, series in self.scenarios.items()
            },
            "ratios": {scenario: asdict(ratio(series)) for scenario, series in self.scenarios.items()},
            "memory_mib": {str(subject): values for subject, values in self.memory.items()},
            "goals": [{**asdict(goal), "met": goal.met} for goal in self.goals()],
        }
