"""The gate of a stage: judges measurements of both versions. Each finding has the numbers behind it. No I/O.

Shares of both versions are compared by their evidence (see `evidence`). A canary fails if the evidence that it is worse
is strong, and the measured difference matters. It passes if the evidence that it is within the margin is strong. Until
one of both is, the check is Inconclusive, and reports about how many more operations decide it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from stack.components.services.rollout import Gate
from stack.rollout.evidence import Block, Comparison, Margin, log_above

_MEMORY_SLACK: Final = 16 * 2**20
"""Bytes by which the memory of two processes may always differ: the caches of a small process grow and shrink."""
_FEWEST: Final = 20
"""Operations of the canary without which no difference matters: their share is not known well."""
_LEAST_PROBES: Final = 10
"""The coverage of fewer probes is Inconclusive."""
QUANTILES: Final = (0.5, 0.99)
_BUDGET: Final = {"errors": 0.15, "foreign": 0.04, "durations": 0.04, "coverage": 0.04}
"""Part of `gate.falseAlarms` that each check may use. All checks together (errors of four operations, two quantiles of
each, foreign failures, coverage) use at most 1."""
_SMALLEST: Final = 1e-300
"""A smaller probability has no logarithm once it is divided."""
_MATTERS: Final = 0.5
"""A difference of at least this part of the margin matters. A smaller one may be real, and is no reason to go back."""
BURST: Final = 4
"""Slow operations, and pages of one site, come in bursts: that many count as one."""


class Verdict(Enum):
    """The result of one check, or of an analysis."""

    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    """Too few measurements to decide."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How strong the evidence is at one look, as powers of ten, and from where on it decides."""

    worse: float
    """That the canary is worse."""
    within: float
    """That the canary is within the margin."""
    worse_bound: float
    within_bound: float


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
    evidence: Evidence | None = None
    """If the check compares shares of both versions."""
    missing: int = 0
    """About how many more operations of the canary decide it; 0 if not known."""


def problem(check: str, message: str, verdict: Verdict = Verdict.FAILED, *, missing: int = 0) -> Finding:
    """A finding without a measurement."""
    return Finding(check=check, verdict=verdict, canary=message, baseline="", limit="", missing=missing)


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
    return "; ".join(
        f"{finding.check}: {finding.canary}{suffix}" + (f", about {finding.missing:,} more" if finding.missing else "")
        for finding in findings
        if finding.verdict is verdict
    )


def missing(findings: Iterable[Finding]) -> int:
    """About how many more operations of the canary decide all checks."""
    return max((finding.missing for finding in findings if finding.verdict is Verdict.INCONCLUSIVE), default=0)


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


def budget(check: str, gate: Gate) -> float:
    """The largest probability of a false alarm of one check, over the whole rollout."""
    return max(gate.false_alarms * _BUDGET[check], _SMALLEST)


def error_margin(gate: Gate) -> Margin:
    """The margin of the share of failed operations."""
    return Margin(absolute=gate.error_margin, factor=gate.error_factor)


def foreign_margin(gate: Gate) -> Margin:
    """The margin of the share of pages that foreign sites do not serve."""
    return Margin(absolute=gate.foreign_margin, factor=gate.error_factor)


def duration_margin(q: float) -> Margin:
    """The margin of the share of operations that are slower than the limit of a quantile."""
    return Margin(absolute=min(2 * (1 - q), 0.4))


def errors(kind: str, comparison: Comparison, stage: Block, gate: Gate, query: str) -> Finding:
    """Checks whether the canary fails more often than the baseline, by more than the margin."""
    return _compared(f"errors, {kind}", "errors", comparison, stage, gate, query)


def foreign(kind: str, comparison: Comparison, stage: Block, gate: Gate, query: str) -> Finding:
    """Checks whether foreign sites fail the canary more often than the baseline. The stage does not wait for it."""
    finding = _compared(f"foreign failures, {kind}", "foreign", comparison, stage, gate, query)
    return finding if finding.verdict is Verdict.FAILED else replace(finding, verdict=Verdict.SUCCESSFUL, missing=0)


def _compared(name: str, check: str, comparison: Comparison, stage: Block, gate: Gate, query: str) -> Finding:
    matters = comparison.exceeds(_MATTERS, stage) and comparison.total.canary >= _FEWEST
    verdict, evidence, missing = _decide(comparison, matters, budget(check, gate), gate)
    total = comparison.total
    return Finding(
        check=name,
        verdict=verdict,
        canary=_share(total.canary_failures, total.canary),
        baseline=_share(total.baseline_failures, total.baseline),
        limit=f"{comparison.margin.allowed(total.shares[1]):.2%}; {_explain(evidence, missing)}",
        query=query,
        evidence=evidence,
        missing=missing,
    )


def _decide(comparison: Comparison, matters: bool, alarm: float, gate: Gate) -> tuple[Verdict, Evidence, int]:
    """The verdict, its evidence, and how many more operations decide it."""
    worse_bound, within_bound = -math.log(alarm), -math.log(1 - gate.confidence)
    worse, within = comparison.worse, comparison.within
    missing = 0
    if matters and worse >= worse_bound:
        verdict = Verdict.FAILED
    elif within >= within_bound:
        verdict = Verdict.SUCCESSFUL
    else:
        verdict, missing = Verdict.INCONCLUSIVE, comparison.missing(within_bound)
    powers = [value / math.log(10) for value in (worse, within, worse_bound, within_bound)]
    return verdict, Evidence(worse=powers[0], within=powers[1], worse_bound=powers[2], within_bound=powers[3]), missing


def _explain(evidence: Evidence, missing: int) -> str:
    text = f"worse {_odds(evidence.worse)} of {_odds(evidence.worse_bound)}"
    text += f", within {_odds(evidence.within)} of {_odds(evidence.within_bound)}"
    return text + (f"; about {missing:,} more decide it" if missing else "")


def _odds(power: float) -> str:
    """The evidence as a factor, for people."""
    return f"{10**power:,.1f}" if power < 6 else "over 1,000,000"


def quantile(q: float, buckets: Mapping[float, int]) -> float:
    """The upper edge, in s, of the bucket with the quantile; 0 without operations."""
    edges = sorted(buckets)
    whole = buckets[edges[-1]] if edges else 0
    return next((edge for edge in edges if whole and buckets[edge] >= q * whole), 0.0)


def duration_limit(q: float, baseline: Mapping[float, int], gate: Gate) -> float:
    """The longest duration, in s, that the canary's quantile may have; infinity without operations.

    It is an edge of the histogram, so that the operations beyond it are counted, not estimated.
    """
    usual = quantile(q, baseline)
    return next((edge for edge in sorted(baseline) if usual and edge >= gate.duration_factor * usual), math.inf)


def durations(
    q: float, kind: str, comparison: Comparison, stage: Block, limit: float, sample: Sample, gate: Gate, query: str
) -> Finding:
    """Checks whether the canary's quantile is beyond its limit, and slow operations more frequent than the baseline's.

    Args:
        q: the quantile.
        kind: the operations.
        comparison: of the shares of operations beyond the limit.
        stage: the operations of this stage; failures are those beyond the limit.
        limit: in s.
        sample: the canary's operations in this stage.
        gate: the limits.
        query: the query of the durations.
    """
    name = "median" if q == 0.5 else f"p{q * 100:g}"
    matters = stage.canary >= _FEWEST and stage.shares[0] > 1 - q
    verdict, evidence, missing = _decide(comparison, matters, budget("durations", gate), gate)
    return Finding(
        check=f"{name}, {kind}",
        verdict=verdict,
        canary=f"≤ {_seconds(quantile(q, sample.buckets))}; {_share(stage.canary_failures, stage.canary)} beyond",
        baseline=_share(stage.baseline_failures, stage.baseline) + " beyond",
        limit=f"{_seconds(limit)}; {_explain(evidence, missing)}",
        query=query,
        evidence=evidence,
        missing=missing,
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


def coverage(
    whole: int, missed: Sequence[str], gate: Gate, stages: int, query: str, unanswered: Sequence[str] = ()
) -> Finding:
    """Checks whether the store has the traces of the probes with every hop.

    Args:
        whole: the number of probes whose trace has every hop.
        missed: a message for each of the other probes.
        stages: the number of stages, which share the budget of false alarms.
        gate: the limits.
        query: the query that looks up a trace.
        unanswered: a message for each probe about whose trace the store did not answer. They are no evidence against
            the canary, and none for it.
    """
    sent = whole + len(missed)
    if log_above(len(missed), sent, 1 - gate.coverage) >= -math.log(budget("coverage", gate) / stages):
        verdict = Verdict.FAILED
    else:
        verdict = (
            Verdict.SUCCESSFUL
            if sent >= _LEAST_PROBES and whole >= gate.coverage * (sent + len(unanswered))
            else Verdict.INCONCLUSIVE
        )
    return Finding(
        check="trace coverage",
        verdict=verdict,
        canary=f"{_share(whole, sent)} whole"
        + (f"; last: {missed[-1]}" if missed else "")
        + (f"; {len(unanswered):,} not answered by the store, last: {unanswered[-1]}" if unanswered else ""),
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
