"""Statistics of the measurements: medians, spreads, the cost that each variant adds, and ratios between variants."""

import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from checks.bench.delivery import RATE, Delivery, lost
from checks.bench.measure import ALTERNATIVES, BARE, CONTROL, NATIVE, OURS, STOCK, Series, Subject

CONTROL_GOAL = "two processes that do the same, CPU apart"
"""If it is missed, other programs disturbed the run."""
_RESAMPLES = 2000
# The smallest difference that can be measured; a ratio to a smaller one has no meaning.
_LEAST_MICROSECONDS = 0.01
# What this library may add to the import and start of a service.
_START_MILLISECONDS = 60.0
_NAMES: Mapping[str, str] = {
    "span": "one span",
    "varied": "one span, values that occur once",
    "request": "HTTP request",
    "sql": "SQL",
    "produce": "Kafka publish",
    "consume": "Kafka consume",
    "create": "HTTP + SQL + Kafka publish",
    "process": "Kafka consume + SQL + publish",
}
# By variant and scenario: what it may add at most, in relation to stock's and in µs of CPU.
_LIMITS: Mapping[Subject, Mapping[str, tuple[float | None, float | None]]] = {
    NATIVE: {
        "span": (None, 3.0),
        "varied": (None, 4.0),
        "request": (0.06, None),
        "sql": (0.15, None),
        "produce": (0.15, None),
        "consume": (0.15, None),
        "create": (0.10, 100.0),
        "process": (0.10, 100.0),
    },
    OURS: {"span": (None, 8.0), "create": (None, 100.0), "process": (None, 100.0)},
}
_TITLES: Mapping[Subject, str] = {NATIVE: "with the native part", OURS: "in Python"}


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A median, or a quotient of two, with the 95 % interval of resampled rounds."""

    value: float
    low: float
    high: float

    @property
    def is_tie(self) -> bool:
        """Of a quotient: whether the run cannot tell which of the two is larger."""
        return self.low <= 1.0 <= self.high


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


def added(series: Mapping[Subject, Series], subject: Subject, what: Literal["cpu", "wall"] = "cpu") -> list[float]:
    """Return the added µs per operation, round by round: neighbouring rounds share the same noise."""
    with_tracing, without = (getattr(series[side], what) for side in (subject, BARE))
    return [traced - bare for traced, bare in zip(with_tracing, without, strict=True)]


def delivered(series: Mapping[Subject, Series], subject: Subject) -> bool:
    """Return whether all spans of a subject arrived, with the values that the scenario gave, as those of stock."""
    counted = series[subject]
    return counted.received == counted.ended and counted.values == series[STOCK].values


def interval(values: Sequence[float]) -> Interval:
    """Return the median of the rounds."""
    return _resample(lambda rounds: statistics.median(values[index] for index in rounds), len(values))


def ratio(series: Mapping[Subject, Series], above: Subject = OURS, below: Subject = STOCK) -> Interval:
    """Return the ratio of the medians of the added costs, this library to stock."""
    first, second = added(series, above), added(series, below)
    return _resample(lambda rounds: _quotient(first, second, rounds), len(first))


def control(series: Mapping[Subject, Series]) -> Interval:
    """Return the ratio of the medians of the CPU time of two processes that do the same; without noise it is 1."""
    first, second = series[OURS].cpu, series[CONTROL].cpu
    return _resample(lambda rounds: _quotient(second, first, rounds), len(first))


def _resample(figure: Callable[[Sequence[int]], float], count: int) -> Interval:
    """Return a figure of all rounds, and its 95 % interval (bootstrap); `figure` gets the indexes of the rounds."""
    rng = random.Random(4)  # a fixed seed: the same rounds give the same interval
    rounds = range(count)
    resampled = [figure(rng.choices(rounds, k=count)) for _ in range(_RESAMPLES)]
    return Interval(value=figure(rounds), low=quantile(resampled, 0.025), high=quantile(resampled, 0.975))


def _quotient(above: Sequence[float], below: Sequence[float], rounds: Sequence[int]) -> float:
    divisor = statistics.median(below[index] for index in rounds)
    return statistics.median(above[index] for index in rounds) / max(divisor, _LEAST_MICROSECONDS)


@dataclass(kw_only=True)
class Results:
    """The results of one run."""

    machine: dict[str, str]
    scenarios: dict[str, dict[Subject, Series]]
    memory: dict[Subject, list[float]]
    deliveries: dict[Subject, list[Delivery]]
    starts: dict[Subject, Series] = field(default_factory=dict)
    """Of new processes: µs until a service is ready."""

    def goals(self) -> list[Goal]:
        """Return the limits of the project and the values of this run."""
        goals = [
            goal
            for subject, limits in _LIMITS.items()
            for scenario, (share, microseconds) in limits.items()
            if subject in self.scenarios.get(scenario, {})
            for goal in self._cost_goals(scenario, subject, share, microseconds)
        ]
        extra = statistics.median(self.memory[OURS]) - statistics.median(self.memory[BARE])
        goals.append(Goal(name="memory added", measured=extra, limit=12.0, unit="MiB"))
        for subject in (OURS, NATIVE):
            if subject in self.starts:
                name = "start of a service: time added" + (", native part" if subject == NATIVE else "")
                # On a busy machine the elapsed time is noise, and may even be less; the CPU time is a lower bound.
                elapsed, cpu = added(self.starts, subject, "wall"), added(self.starts, subject)
                slower = max(statistics.median(elapsed), statistics.median(cpu)) / 1000
                goals.append(Goal(name=name, measured=slower, limit=_START_MILLISECONDS, unit="ms"))
        missing = lost(self.deliveries[OURS])
        goals.append(Goal(name=f"spans lost at {RATE:,} spans/s", measured=float(missing), limit=0.0, unit="spans"))
        slowest = min(item.rate for item in self.deliveries[OURS])
        goals.append(Goal(name="seconds for the spans of a second", measured=RATE / slowest, limit=1.01, unit="s"))
        unreceived = sum(
            abs(series[subject].ended - series[subject].received)
            for series in self.scenarios.values()
            for subject in (OURS, NATIVE)
            if subject in series
        )
        goals.append(Goal(name="spans ended and not received", measured=float(unreceived), limit=0.0, unit="spans"))
        unlike = sum(
            series[subject].contents != series[STOCK].contents
            for series in self.scenarios.values()
            for subject in (OURS, NATIVE)
            if subject in series
        )
        goals.append(Goal(name="scenarios whose spans differ", measured=float(unlike), limit=0.0, unit=""))
        apart = max(abs(control(series).value - 1) for series in self.scenarios.values())
        goals.append(Goal(name=CONTROL_GOAL, measured=apart, limit=0.02, unit=""))
        return goals

    def _cost_goals(
        self, scenario: str, subject: Subject, share: float | None, microseconds: float | None
    ) -> Iterator[Goal]:
        series, name = self.scenarios[scenario], f"{_NAMES[scenario]}, {_TITLES[subject]}: CPU added"
        if share is not None:
            yield Goal(name=f"{name}, to stock's", measured=ratio(series, subject).value, limit=share, unit="x")
        if microseconds is not None:
            cost = statistics.median(added(series, subject))
            yield Goal(name=name, measured=cost, limit=microseconds, unit="µs")

    def document(self) -> dict[str, Any]:
        """Return the results for JSON."""
        return {
            "machine": self.machine,
            "scenarios": {
                scenario: {str(subject): asdict(values) for subject, values in series.items()}
                for scenario, series in self.scenarios.items()
            },
            "ratios": {
                str(subject): {
                    scenario: asdict(ratio(series, subject))
                    for scenario, series in self.scenarios.items()
                    if subject in series
                }
                for subject in (OURS, NATIVE)
            },
            "alternatives": {
                scenario: {
                    str(subject): {
                        str(against): {**asdict(to := ratio(series, subject, against)), "tie": to.is_tie}
                        for against in (STOCK, OURS, NATIVE)
                        if against in series
                    }
                    for subject in ALTERNATIVES
                    if subject in series
                }
                for scenario, series in self.scenarios.items()
            },
            "delivered": {
                scenario: {
                    str(subject): delivered(series, subject)
                    for subject in series
                    if subject.mode == "on" and subject != BARE
                }
                for scenario, series in self.scenarios.items()
            },
            "controls": {scenario: asdict(control(series)) for scenario, series in self.scenarios.items()},
            "memory_mib": {str(subject): values for subject, values in self.memory.items()},
            "deliveries": {str(subject): [asdict(item) for item in made] for subject, made in self.deliveries.items()},
            "starts": {str(subject): asdict(values) for subject, values in self.starts.items()},
            "goals": [{**asdict(goal), "met": goal.met} for goal in self.goals()],
        }
