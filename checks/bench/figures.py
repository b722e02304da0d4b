"""Statistics of the measurements: medians, spreads, the cost that each variant adds, and ratios between variants."""

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from checks.bench.measure import BARE, OURS, STOCK, Series, Subject

_RESAMPLES = 2000
# The smallest difference that can be measured; a ratio to a smaller one has no meaning.
_LEAST_MICROSECONDS = 0.01


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Added cost of this library divided by that of the stock one, with the 95 % interval of resampled rounds."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A limit, and the measured value."""

    name: str
    measured: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the value is at most the limit."""
        return self.measured <= self.limit


def spread(values: Sequence[float]) -> Spread:
    """Compute it from at least one value."""
    if len(values) == 1:
        return Spread(median=values[0], low=values[0], high=values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median=median, low=low, high=high)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def added(series: Mapping[Subject, Series], subject: Subject) -> list[float]:
    """Return the added µs of CPU per operation, round by round: neighbouring rounds share the same noise."""
    return [traced - bare for traced, bare in zip(series[subject].cpu, series[BARE].cpu, strict=True)]


def ratio(series: Mapping[Subject, Series]) -> Ratio:
    """Return the ratio of the medians of the added costs, this library to stock."""
    ours, stock = added(series, OURS), added(series, STOCK)
    rng = random.Random(4)  # a fixed seed: the same rounds give the same interval
    rounds = range(len(ours))
    resampled = []
    for _ in range(_RESAMPLES):
        chosen = rng.choices(rounds, k=len(ours))
        resampled.append(_quotient([ours[index] for index in chosen], [stock[index] for index in chosen]))
    return Ratio(value=_quotient(ours, stock), low=quantile(resampled, 0.025), high=quantile(resampled, 0.975))


def _quotient(ours: Sequence[float], stock: Sequence[float]) -> float:
    return statistics.median(ours) / max(statistics.median(stock), _LEAST_MICROSECONDS)


@dataclass(kw_only=True)
class Results:
    """The results of one run."""

    machine: dict[str, str]
    scenarios: dict[str, dict[Subject, Series]]
    memory: dict[Subject, list[float]]

    def goals(self) -> list[Goal]:
        """Return the limits of the project and the values of this run."""
        limits = {"request": (0.25, None), "create": (0.5, 300.0), "process": (0.5, 300.0)}
        names = {
            "request": "HTTP request",
            "create": "HTTP + SQL + Kafka publish",
            "process": "Kafka consume + SQL + publish",
        }
        goals = []
        for scenario, (share, microseconds) in limits.items():
            series = self.scenarios[scenario]
            to_stock = ratio(series).value
            goals.append(
                Goal(name=f"{names[scenario]}: CPU added, to stock's", measured=to_stock, limit=share, unit="x")
            )
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
        """Return the results for JSON."""
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
