"""The gate of a stage: judges measurements of both versions. Each finding has the numbers behind it. No I/O.

Shares are compared by their confidence intervals, so that few operations lead to no verdict in either direction.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from statistics import NormalDist
from typing import Final

from stack.settings.rollout import Gate

_MEMORY_SLACK: Final = 16 * 2**20
"""Bytes by which the memory of two processes may always differ: the caches of a small process grow and shrink."""
_LEAST_PROBES: Final = 10
"""The coverage of fewer probes is Inconclusive."""
_QUANTILES: Final = (0.5, 0.99)


class Verdict(Enum):
    """The result of one check, or of an analysis."""

    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    """Too few measurements to decide."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The verdict of one check."""

    check: str
    verdict: Verdict
    canary: str
    """The measurement of the canary."""
    baseline: str
    """The same measurement of the stable version."""
    limit: str
    """The limit that the measurement was compared with."""
    query: str = ""
    """The query or command that repeats the measurement."""


def problem(check: str, message: str, verdict: Verdict = Verdict.FAILED) -> Finding:
    """A finding without a measurement."""
    return Finding(check=check, verdict=verdict, canary=message, baseline="", limit="")


def overall(findings: Iterable[Finding]) -> Verdict:
    """The verdict of an analysis: Failed if one check failed, else Inconclusive if one is."""
    verdicts = {finding.verdict for finding in findings}
    order = (Verdict.FAILED, Verdict.INCONCLUSIVE)
    return next((verdict for verdict in order if verdict in verdicts), Verdict.SUCCESSFUL)


def reason(findings: Sequence[Finding]) -> str:
    """Why an analysis is not Successful: its failed checks, or else its inconclusive ones; "" if it is."""
    verdict = overall(findings)
    if verdict is Verdict.SUCCESSFUL:
        return ""
    suffix = " (inconclusive)" if verdict is Verdict.INCONCLUSIVE else ""
    return "; ".join(f"{finding.check}: {finding.canary}{suffix}" for finding in findings if finding.verdict is verdict)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Operations of one kind by one version: their number, failures and durations."""

    operations: int = 0
    failures: int = 0
    buckets: Mapping[float, int] = field(default_factory=dict)
    """Upper edge in s → operations that took at most this long; the last edge is infinity."""


@dataclass(frozen=True, kw_only=True)
class Spans:
    """The span account of the canary's pods."""

    ended: int = 0
    exported: int = 0
    given_up: int = 0
    """Dropped by the services, or refused by the Collectors."""
    waiting: int = 0


def wilson(part: int, whole: int, confidence: float) -> tuple[float, float]:
    """Bounds of a share, each with that confidence (E. B. Wilson, JASA 22, 1927)."""
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
    distance = share - other
    return (
        distance - math.hypot(share - low, other_high - other),
        distance + math.hypot(high - share, other - other_low),
    )


def errors(kind: str, canary: Sample, baseline: Sample, gate: Gate, query: str) -> Finding:
    """Checks whether the canary fails more often than the baseline, by more than the margin."""
    low, high = difference(canary.failures, canary.operations, baseline.failures, baseline.operations, gate.confidence)
    if canary.operations < gate.operations:
        verdict = Verdict.INCONCLUSIVE
    elif low > gate.error_margin:
        verdict = Verdict.FAILED
    else:
        verdict = Verdict.SUCCESSFUL if high <= gate.error_margin else Verdict.INCONCLUSIVE
    return Finding(
        check=f"errors, {kind}",
        verdict=verdict,
        canary=_share(canary.failures, canary.operations),
        baseline=_share(baseline.failures, baseline.operations),
        limit=f"{low:+.2%} … {high:+.2%} more at {gate.confidence:.0%}, {gate.error_margin:+.2%} allowed",
        query=query,
    )


def quantile(q: float, buckets: Mapping[float, int]) -> float:
    """The upper edge, in s, of the bucket with the quantile; 0 without operations."""
    edges = sorted(buckets)
    whole = buckets[edges[-1]] if edges else 0
    return next((edge for edge in edges if whole and buckets[edge] >= q * whole), 0.0)


def durations(kind: str, canary: Sample, baseline: Sample, gate: Gate, query: str) -> list[Finding]:
    """Checks whether more than 1 - q of the canary's operations take longer than the baseline's quantile allows.

    The limit is an edge of the histogram, so that the operations beyond it are counted, not estimated.
    """
    return [_slower(q, kind, canary, baseline, gate, query) for q in _QUANTILES]


def _slower(q: float, kind: str, canary: Sample, baseline: Sample, gate: Gate, query: str) -> Finding:
    name = "median" if q == 0.5 else f"p{q * 100:g}"
    usual = quantile(q, baseline.buckets)
    limit = next((edge for edge in sorted(canary.buckets) if edge >= gate.duration_factor * usual), math.inf)
    whole = max(canary.buckets.values(), default=0)
    beyond = whole - canary.buckets.get(limit, whole)
    low, high = wilson(beyond, whole, gate.confidence)
    allowed = 1 - q
    if whole < gate.operations or not usual:
        verdict = Verdict.INCONCLUSIVE
    elif low > allowed:
        verdict = Verdict.FAILED
    else:
        # Up to three times the allowed share: for p99, 200 operations are enough to decide that.
        verdict = Verdict.SUCCESSFUL if high <= min(3 * allowed, 0.9) else Verdict.INCONCLUSIVE
    return Finding(
        check=f"{name}, {kind}",
        verdict=verdict,
        canary=f"≤ {_seconds(quantile(q, canary.buckets))}; {_share(beyond, whole)} beyond {_seconds(limit)}",
        baseline=f"≤ {_seconds(usual)}",
        limit=f"at least {low:.1%} and at most {high:.1%} beyond, at {gate.confidence:.0%}; {allowed:.0%} allowed",
        query=query,
    )


def memory(canary: Mapping[str, float], baseline: Mapping[str, float], gate: Gate, query: str) -> list[Finding]:
    """Checks for each service whether the canary's largest pod uses more memory, in bytes, than the baseline's."""
    findings = []
    for job, used in sorted(canary.items()):
        usual = baseline.get(job)
        allowed = usual * gate.memory_factor + _MEMORY_SLACK if usual else math.inf
        findings.append(
            Finding(
                check=f"memory, {job}",
                verdict=_verdict(passed=used <= allowed, is_conclusive=usual is not None),
                canary=_mebibytes(used),
                baseline=_mebibytes(usual) if usual else "not known",
                limit=f"{_mebibytes(allowed)}" if usual else "",
                query=query,
            )
        )
    return findings


def spans(canary: Spans, gate: Gate, query: str) -> list[Finding]:
    """Checks whether the canary exports its spans, and whether each span is accounted for."""
    finished = canary.exported + canary.given_up
    success = canary.exported / finished if finished else 1.0
    missing = canary.ended - finished - canary.waiting
    # A scrape reads the counters one after the other, so a span that ends meanwhile is in some of them only.
    tolerated = max(20, canary.ended // 100)
    is_conclusive = canary.ended >= gate.operations
    return [
        Finding(
            check="export success",
            verdict=_verdict(passed=success >= gate.export_success, is_conclusive=is_conclusive),
            canary=f"{success:.2%} of {finished:,}",
            baseline="",
            limit=f"{gate.export_success:.2%}",
            query=query,
        ),
        Finding(
            check="span accounting",
            verdict=_verdict(passed=missing <= tolerated, is_conclusive=is_conclusive),
            canary=f"{canary.ended:,} ended, {missing:,} missing",
            baseline="",
            limit=f"{tolerated:,}",
            query=query,
        ),
    ]


def coverage(whole: int, missed: Sequence[str], gate: Gate, query: str) -> Finding:
    """Checks whether the store has the traces of the probes with every hop.

    Args:
        whole: the number of probes whose trace has every hop.
        missed: a message for each of the other probes.
        gate: the limits.
        query: the query that looks up a trace.
    """
    sent = whole + len(missed)
    _, high = wilson(whole, sent, gate.confidence)
    if high < gate.coverage:
        verdict = Verdict.FAILED
    else:
        verdict = (
            Verdict.SUCCESSFUL if sent >= _LEAST_PROBES and whole >= gate.coverage * sent else Verdict.INCONCLUSIVE
        )
    return Finding(
        check="trace coverage",
        verdict=verdict,
        canary=f"{_share(whole, sent)} whole" + (f"; last: {missed[-1]}" if missed else ""),
        baseline="",
        limit=f"{gate.coverage:.0%} of at least {_LEAST_PROBES}",
        query=query,
    )


def _verdict(*, passed: bool, is_conclusive: bool) -> Verdict:
    if not is_conclusive:
        return Verdict.INCONCLUSIVE
    return Verdict.SUCCESSFUL if passed else Verdict.FAILED


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}" + (f" ({part / whole:.2%})" if whole else "")


def _seconds(seconds: float) -> str:
    return "∞" if math.isinf(seconds) else f"{seconds * 1000:g} ms"


def _mebibytes(size: float) -> str:
    return f"{size / 2**20:.0f} MiB"
