"""Judges the measurements of a rollout by the gate, look after look; the evidence of earlier stages is kept."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from contracts.metadata import Track
from contracts.services import GATEWAY, SERVICES
from dashboards.queries import MEMORY
from stack.clients.prometheus import Query
from stack.components.services.rollout import Gate
from stack.rollout import gate
from stack.rollout.evidence import Block, Comparison
from stack.rollout.gate import QUANTILES, Finding, Sample, Verdict
from stack.rollout.measurements import (
    CANARY_SPANS,
    OPERATIONS,
    Measurements,
    Operation,
    Window,
    collect,
    duration_query,
    failed_query,
)
from stack.rollout.picture import Point

_NOTHING: Final = Block(canary=0, canary_failures=0)


@dataclass(kw_only=True)
class _Share:
    """The evidence about the share of failures, and the counts of the stage at the last look."""

    comparison: Comparison
    stage: Block = _NOTHING

    def begin(self) -> None:
        self.stage = _NOTHING

    def look(self, canary: Sample, baseline: Sample) -> None:
        """Takes the counts since the stage's start.

        The counts of two queries may be those of different scrapes. If more failures than operations are new, the look
        is not used: the next one has all of them.
        """
        now = Block(
            canary=canary.operations,
            canary_failures=canary.failures,
            baseline=baseline.operations,
            baseline_failures=baseline.failures,
        )
        block = now - self.stage
        if block.is_valid:
            self.comparison.add(block)
        if block.is_valid or block.canary < 0 or block.baseline < 0:  # pods that ended took their counts along
            self.stage = now


@dataclass(kw_only=True)
class _Slow:
    """The evidence about one quantile of a duration.

    Operations are slow if they take longer than a limit, which the baseline's durations up to the last look set: the
    operations that it classifies have no part in it.
    """

    q: float
    comparison: Comparison
    limit: float = math.inf
    """In s."""
    stage: Block = _NOTHING
    """The slow operations of the stage by the present limit."""
    _last: tuple[Sample, Sample] = (Sample(), Sample())

    def begin(self) -> None:
        self.stage = _NOTHING
        self._last = (Sample(), Sample())

    def look(self, canary: Sample, baseline: Sample, limits: Gate) -> None:
        """Takes the durations since the stage's start."""
        if math.isfinite(self.limit):
            self.stage = self._slow(canary, baseline)
            block = self.stage - self._slow(*self._last)
            if block.is_valid:
                self.comparison.add(block)
        self._last = (canary, baseline)
        self.limit = gate.duration_limit(self.q, baseline.buckets, limits)

    def _slow(self, canary: Sample, baseline: Sample) -> Block:
        new, usual = _slower(canary.buckets, self.limit), _slower(baseline.buckets, self.limit)
        return Block(canary=new[0], canary_failures=new[1], baseline=usual[0], baseline_failures=usual[1])


class Judge:
    """Compares the canary with the stable version over a whole rollout. One error budget covers all of its looks."""

    def __init__(self, limits: Gate, services: Collection[str] = SERVICES) -> None:
        """Prepares a judge.

        Args:
            limits: the gate.
            services: those that are judged.
        """
        self._limits = limits
        self._services = services
        self._kinds = [(it, job) for it in OPERATIONS for job in it.services if job in services]
        self.curves: dict[str, list[Point]] = defaultdict(list)
        """Check → its evidence, look after look, over all stages of this run."""
        self.stages: list[float] = []
        """When each stage began, in s since the first look."""
        self._start = self._end = 0.0
        self._is_last = True
        self._shares: dict[str, _Share] = {}
        self._slow: dict[str, list[_Slow]] = {}
        self.forget()

    def forget(self) -> None:
        """Begins without evidence."""
        limits = self._limits
        for operation, job in self._kinds:
            margin = gate.foreign_margin(limits) if operation.is_foreign else gate.error_margin(limits)
            key = f"{job}, {operation.name}"
            burst = gate.BURST if operation.is_foreign else 1
            self._shares[key] = _Share(comparison=Comparison(margin=margin, burst=burst))
            self._slow[key] = [
                _Slow(q=q, comparison=Comparison(margin=gate.duration_margin(q), burst=gate.BURST))
                for q in (QUANTILES if operation.duration else ())
            ]

    def begin(self, *, is_last: bool = True) -> None:
        """Begins a stage: its measurements count from 0.

        Args:
            is_last: whether no later stage compares what this one does not.
        """
        self._is_last = is_last
        self._start = self._end
        self.stages.append(self._start)
        for key, share in self._shares.items():
            share.begin()
            for slow in self._slow[key]:
                slow.begin()

    def measure(self, query: Query, window: Window, compared: Track, *, is_traced: bool) -> list[Finding]:
        """Measures both versions, and returns the findings; an inconclusive one if Prometheus has none.

        Args:
            query: of Prometheus.
            window: the stage's start, and now.
            compared: the track with which the canary is compared.
            is_traced: whether the canary exports spans.
        """
        start, end = window
        try:
            measurements = collect(query, window, compared)
        except httpx.HTTPError as error:
            return [gate.problem("Prometheus", f"does not answer: {error}", Verdict.INCONCLUSIVE)]
        findings = self.look(measurements, end - start)
        if not findings:  # a consumer without messages still has memory
            findings = [gate.problem("measurements", "none of the new version", Verdict.INCONCLUSIVE)]
        return [*findings, *gate.spans(measurements.spans, self._limits, CANARY_SPANS)] if is_traced else findings

    def look(self, measurements: Measurements, seconds: float) -> list[Finding]:
        """Takes the measurements of a stage up to now, and returns the findings.

        Args:
            measurements: of both versions, since the stage's start.
            seconds: the length of the stage so far.
        """
        findings: list[Finding] = []
        for operation, job in self._kinds:
            findings += self._judge_operation(operation, job, measurements, seconds)
        self._end = self._start + seconds
        for finding in findings:
            if finding.evidence is not None:
                self.curves[finding.check].append(Point(seconds=self._end, evidence=finding.evidence))
        canary, baseline = (
            {job: size for job, size in measurements.memory.get(track, {}).items() if job in self._services}
            for track in ("canary", "baseline")
        )
        return [*findings, *gate.memory(canary, baseline, self._limits, MEMORY)]

    def dump(self) -> dict[str, Any]:
        """The evidence as JSON, for a later run of the same rollout."""
        return {key: comparison.dump() for key, comparison in self._comparisons() if comparison.total.canary}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes over what `dump` of an earlier run returned."""
        for key, comparison in self._comparisons():
            if key in state:
                comparison.load(state[key])

    def _comparisons(self) -> Iterator[tuple[str, Comparison]]:
        for key, share in self._shares.items():
            yield key, share.comparison
            for slow in self._slow[key]:
                yield f"{key}, {slow.q:g}", slow.comparison

    def _judge_operation(
        self, operation: Operation, job: str, measurements: Measurements, seconds: float
    ) -> Iterator[Finding]:
        limits, key = self._limits, f"{job}, {operation.name}"
        new, usual = (measurements.samples.get(track, {}).get(key, Sample()) for track in ("canary", "baseline"))
        share = self._shares[key]
        share.look(new, usual)
        for slow in self._slow[key]:
            slow.look(new, usual, limits)
        # A consumer may have been assigned no partition; the gateway gets requests in any case.
        is_idle = share.comparison.total.canary < limits.operations or (
            share.stage.baseline < limits.operations and not self._is_last
        )
        if is_idle and job != GATEWAY:
            return
        if not share.comparison.total.canary:
            yield gate.problem(f"errors, {key}", "no traffic yet", Verdict.INCONCLUSIVE, missing=limits.operations)
            return
        check = gate.foreign if operation.is_foreign else gate.errors
        yield check(key, share.comparison, share.stage, limits, failed_query(operation, seconds))
        query = duration_query(operation, seconds)
        for slow in self._slow[key]:
            yield gate.durations(slow.q, key, slow.comparison, slow.stage, slow.limit, new, limits, query)


def _slower(buckets: Mapping[float, int], limit: float) -> tuple[int, int]:
    """The operations, and those beyond a limit; beyond the next edge, if a version has other edges than the other."""
    whole = max(buckets.values(), default=0)
    return whole, whole - next((buckets[edge] for edge in sorted(buckets) if limit <= edge < math.inf), whole)
