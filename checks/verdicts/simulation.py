"""One simulated rollout: the traffic of both versions, and the verdict of each look."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from statistics import NormalDist
from typing import Final

from checks.verdicts.draws import binomial, poisson, split
from stack.components.services.rollout import Rollout
from stack.release.plan import BASELINES
from stack.rollout import gate
from stack.rollout.gate import Sample, Verdict
from stack.rollout.judge import Judge
from stack.rollout.measurements import OPERATIONS, WARM_UP_SECONDS, Measurements
from stack.rollout.supply import rate

LOOK_SECONDS: Final = 5.0
_SUPPLY_SECONDS: Final = 60.0
_LAST_SHARE: Final = 0.75
"""Of the canary in the last stage, in which one pod of the stable version remains next to three."""
_EDGES: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, math.inf)
_MEDIAN_SECONDS, _SPREAD = 0.009, 0.6
"""Of the logarithm of the duration, which is normal: p99 is four times the median."""
KEYS: Final = {f"{job}, {operation.name}": operation for operation in OPERATIONS for job in operation.services}
GATEWAY: Final = "gateway, requests"


class Ending(Enum):
    """How a simulated rollout ends."""

    PROMOTED = "promoted"
    BACK = "back"
    HELD = "held"


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of the services."""

    failures: float
    """Share of the operations that fail; of pages, share that foreign sites do not serve."""
    changes: Mapping[str, float] = field(default_factory=dict)
    """Operation → another share of its failures."""
    delay: float = 0.0
    """Added to each request of the gateway, in s."""
    outage: float | None = None
    """In every third minute, the share of all operations that fail."""

    def share(self, key: str, seconds: float) -> float:
        """The share of an operation that fails at a time of the rollout."""
        if self.outage is not None and int(seconds // 60) % 3 == 2:
            return self.outage
        return self.changes.get(key, self.failures)


@dataclass(frozen=True, kw_only=True)
class Result:
    """The end of one simulated rollout."""

    ending: Ending
    seconds: float
    """How long the canary had traffic."""
    reason: str


@dataclass(kw_only=True)
class _Counts:
    """What Prometheus counts for one version in a stage."""

    version: Version
    operations: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KEYS, 0))
    failures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KEYS, 0))
    buckets: dict[str, list[int]] = field(default_factory=lambda: {key: [0] * len(_EDGES) for key in KEYS})

    def add(self, rng: Random, requests: float, seconds: float, *, is_warm: bool) -> None:
        """Adds the operations between two looks, the later one at a time of the rollout."""
        for key, operation in KEYS.items():
            number = poisson(rng, requests)
            self.operations[key] += number
            self.failures[key] += binomial(rng, number, self.version.share(key, seconds))
            if operation.duration and is_warm:
                shares = _bucket_shares(self.version.delay if key == GATEWAY else 0.0)
                for index, count in enumerate(split(rng, number, shares)):
                    self.buckets[key][index] += count

    def samples(self) -> dict[str, Sample]:
        return {
            key: Sample(
                operations=self.operations[key],
                failures=self.failures[key],
                buckets=dict(zip(_EDGES, itertools.accumulate(self.buckets[key]), strict=True)),
            )
            for key in KEYS
        }


def _bucket_shares(delay: float) -> Sequence[float]:
    if delay not in _SHARES:
        logarithm = NormalDist(math.log(_MEDIAN_SECONDS), _SPREAD)
        below = [logarithm.cdf(math.log(edge - delay)) if edge > delay else 0.0 for edge in _EDGES[:-1]]
        _SHARES[delay] = [high - low for low, high in itertools.pairwise([0.0, *below, 1.0])]
    return _SHARES[delay]


_SHARES: Final[dict[float, Sequence[float]]] = {}


def simulate(rng: Random, stable: Version, canary: Version, canary_rate: float, settings: Rollout) -> Result:
    """Runs one rollout.

    Args:
        rng: the source of random numbers.
        stable: the stable version.
        canary: the new one.
        canary_rate: requests of users per second to the canary, in each stage.
        settings: the stages, and the gate.
    """
    limits, judge, exposed = settings.gate, Judge(settings.gate), 0.0
    for stage in settings.stages:
        judge.begin(is_last=stage.share == 1)
        share = min(stage.share, _LAST_SHARE)
        baseline_rate = canary_rate * min((1 - share) / share, BASELINES)
        new, usual = _Counts(version=canary), _Counts(version=stable)
        seconds, missing = 0.0, limits.operations
        while True:
            own = rate(missing, max(stage.soak_seconds - seconds, _SUPPLY_SECONDS), 2, limits.probes_per_second) / 2
            seconds += LOOK_SECONDS
            exposed += LOOK_SECONDS
            is_warm = seconds > WARM_UP_SECONDS
            new.add(rng, LOOK_SECONDS * (canary_rate + own), exposed, is_warm=is_warm)
            usual.add(rng, LOOK_SECONDS * (baseline_rate + own), exposed, is_warm=is_warm)
            samples = {"canary": new.samples(), "baseline": usual.samples()}
            findings = judge.look(Measurements(samples=samples), seconds)
            missing = gate.missing(findings)
            verdict = gate.overall(findings)
            if verdict is Verdict.FAILED:
                return Result(ending=Ending.BACK, seconds=exposed, reason=gate.reason(findings))
            if verdict is Verdict.SUCCESSFUL and seconds >= stage.soak_seconds:
                break
            if seconds >= stage.soak_seconds + limits.patience_seconds:
                return Result(ending=Ending.HELD, seconds=exposed, reason=gate.reason(findings))
    return Result(ending=Ending.PROMOTED, seconds=exposed, reason="")
