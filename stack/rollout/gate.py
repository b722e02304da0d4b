"""What lets a rollout go on: judgements over counts, each with the numbers that it comes from. No I/O.

Shares are compared by intervals, not by their values: with few operations nothing is said, in either direction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from statistics import NormalDist
from typing import Final

from stack.settings.rollout import Gate

_MEMORY_SLACK: Final = 16 * 2**20
"""Bytes that a process may always have more than another; a small one's caches come and go."""
_PROBES: Final = 10
"""Below which nothing is said of the coverage."""
_QUANTILES: Final = (0.5, 0.99)


class Verdict(Enum):
    """Of one judgement."""

    GOOD = "good"
    OPEN = "open"
    """Nothing can be said yet."""
    BAD = "bad"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One judgement."""

    gate: str
    verdict: Verdict
    canary: str
    """What was measured of the new version."""
    baseline: str
    """The same of the old one."""
    limit: str
    """Where the line is."""
    query: str = ""
    """What repeats the measurement."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Operations of one kind of one version: how many, how many failed, and how long they took."""

    operations: int = 0
    failures: int = 0
    buckets: Mapping[float, int] = field(default_factory=dict)
    """Upper edge in s → operations that took at most so long; the last edge is infinity."""


@dataclass(frozen=True, kw_only=True)
class Spans:
    """What became of the spans of the canary's pods."""

    ended: int = 0
    exported: int = 0
    given_up: int = 0
    """Dropped by the services, or refused by the Collectors."""
    waiting: int = 0


def wilson(part: int, whole: int, confidence: float) -> tuple[float, float]:
    """Bounds of a share, each of which holds with that confidence (E. B. Wilson, JASA 22, 1927)."""
    if not whole:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(confidence)
    share = part / whole
    middle = (share + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z / (1 + z * z / whole) * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    return max(0.0, middle - half), min(1.0, middle + half)


def difference(part: int, whole: int, other_part: int, other_whole: int, confidence: float) -> tuple[float, float]:
    """Bounds of the difference of two shares (R. G. Newcombe, Statistics in Medicine 17, 1998, method 10)."""
    low, high = wilson(part, whole, confidence)
    other_low, other_high = wilson(other_part, other_whole, confidence)
    share = part / whole if whole else 0.0
    other = other_part / other_whole if other_whole else 0.0
    by = share - other
    return (
        by - math.hypot(share - low, other_high - other),
        by + math.hypot(high - share, other - other_low),
    )


def errors(kind: str, canary: Sample, baseline: Sample, gate: Gate, query: str) -> Finding:
    """Whether the canary fails more often than the baseline, by more than the margin."""
    low, high = difference(canary.failures, canary.operations, baseline.failures, baseline.operations, gate.confidence)
    if canary.operations < gate.operations:
        verdict = Verdict.OPEN
    elif low > gate.error_margin:
        verdict = Verdict.BAD
    else:
        verdict = Verdict.GOOD if high <= gate.error_margin else Verdict.OPEN
    return Finding(
        gate=f"errors, {kind}",
        verdict=verdict,
        canary=_share(canary.failures, canary.operations),
        baseline=_share(baseline.failures, baseline.operations),
        limit=f"{low:+.2%} … {high:+.2%} more at {gate.confidence:.0%}, {gate.error_margin:+.2%} allowed",
        query=query,
    )


def quantile(q: float, buckets: Mapping[float, int]) -> float:
    """Upper edge of the bucket that holds a quantile, in s; 0 without operations."""
    edges = sorted(buckets)
    whole = buckets[edges[-1]] if edges else 0
    return next((edge for edge in edges if whole and buckets[edge] >= q * whole), 0.0)


def durations(kind: str, canary: Sample, baseline: Sample, gate: Gate, query: str) -> list[Finding]:
    """Whether the canary's operations take longer: more of them than 1 - q beyond where the baseline's quantile lies.

    The line is an edge of the histogram, so that what is beyond it is counted, not estimated.
    """
    return [_slower(q, kind, canary, baseline, gate, query) for q in _QUANTILES]


def _slower(q: float, kind: str, canary: Sample, baseline: Sample, gate: Gate, query: str) -> Finding:
    name = "median" if q == 0.5 else f"p{q * 100:g}"
    of_baseline = quantile(q, baseline.buckets)
    line = next((edge for edge in sorted(canary.buckets) if edge >= gate.duration_factor * of_baseline), math.inf)
    whole = max(canary.buckets.values(), default=0)
    beyond = whole - canary.buckets.get(line, whole)
    low, high = wilson(beyond, whole, gate.confidence)
    allowed = 1 - q
    if whole < gate.operations or not of_baseline:
        verdict = Verdict.OPEN
    elif low > allowed:
        verdict = Verdict.BAD
    else:
        # Three times the share that lies beyond a quantile by its name: of p99 that can be told from 200 operations on.
        verdict = Verdict.GOOD if high <= min(3 * allowed, 0.9) else Verdict.OPEN
    return Finding(
        gate=f"{name}, {kind}",
        verdict=verdict,
        canary=f"≤ {_seconds(quantile(q, canary.buckets))}; {_share(beyond, whole)} beyond {_seconds(line)}",
        baseline=f"≤ {_seconds(of_baseline)}",
        limit=f"at least {low:.1%} and at most {high:.1%} beyond, at {gate.confidence:.0%}; {allowed:.0%} allowed",
        query=query,
    )


def memory(canary: Mapping[str, float], baseline: Mapping[str, float], gate: Gate, query: str) -> list[Finding]:
    """Whether the largest pod of the canary has more memory than that of the baseline, service by service, in bytes."""
    findings = []
    for job, used in sorted(canary.items()):
        before = baseline.get(job)
        allowed = before * gate.memory_factor + _MEMORY_SLACK if before else math.inf
        findings.append(
            Finding(
                gate=f"memory, {job}",
                verdict=Verdict.OPEN if before is None else Verdict.GOOD if used <= allowed else Verdict.BAD,
                canary=_mebibytes(used),
                baseline=_mebibytes(before) if before else "not known",
                limit=f"{_mebibytes(allowed)}" if before else "",
                query=query,
            )
        )
    return findings


def spans(canary: Spans, gate: Gate, query: str) -> list[Finding]:
    """Whether the canary's spans get out, and whether every one of them is accounted for."""
    out = canary.exported + canary.given_up
    success = canary.exported / out if out else 1.0
    missing = canary.ended - out - canary.waiting
    # Counters of one scrape are read one after the other: what ended in between is in some of them.
    tolerated = max(20, canary.ended // 100)
    enough = canary.ended >= gate.operations
    return [
        Finding(
            gate="export success",
            verdict=Verdict.OPEN if not enough else Verdict.GOOD if success >= gate.export_success else Verdict.BAD,
            canary=f"{success:.2%} of {out:,}",
            baseline="",
            limit=f"{gate.export_success:.2%}",
            query=query,
        ),
        Finding(
            gate="span accounting",
            verdict=Verdict.OPEN if not enough else Verdict.GOOD if missing <= tolerated else Verdict.BAD,
            canary=f"{canary.ended:,} ended, {missing:,} missing",
            baseline="",
            limit=f"{tolerated:,}",
            query=query,
        ),
    ]


def coverage(whole: int, missed: Sequence[str], gate: Gate, query: str) -> Finding:
    """Whether the traces of the probes are in the store, with every hop.

    Args:
        whole: probes whose trace was found whole.
        missed: what was missing of each of the others.
        gate: the limits.
        query: how a trace is looked up.
    """
    sent = whole + len(missed)
    _, high = wilson(whole, sent, gate.confidence)
    if high < gate.coverage:
        verdict = Verdict.BAD
    else:
        verdict = Verdict.GOOD if sent >= _PROBES and whole >= gate.coverage * sent else Verdict.OPEN
    return Finding(
        gate="trace coverage",
        verdict=verdict,
        canary=f"{_share(whole, sent)} whole" + (f"; last: {missed[-1]}" if missed else ""),
        baseline="",
        limit=f"{gate.coverage:.0%} of at least {_PROBES}",
        query=query,
    )


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}" + (f" ({part / whole:.2%})" if whole else "")


def _seconds(seconds: float) -> str:
    return "∞" if math.isinf(seconds) else f"{seconds * 1000:g} ms"


def _mebibytes(size: float) -> str:
    return f"{size / 2**20:.0f} MiB"
