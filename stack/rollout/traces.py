"""Compares the traces of both versions: operations, edges, durations and errors, with example trace ids."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal

from contracts import endpoints
from stack.clients.traces import Span

Track = Literal["baseline", "canary"]
_EXAMPLES: Final = 3
_FEWEST: Final = 5
"""Spans without which durations are not compared, and an operation that only one version has is no difference."""
_SLOWER: Final = 1.5
_SLOWER_MILLISECONDS: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One difference between the traces of both versions."""

    kind: Literal["operation", "edge", "duration", "errors"]
    name: str
    canary: str
    baseline: str
    trace_ids: Sequence[str]
    """Traces of the version that has it; of durations and errors, of the canary."""


@dataclass(kw_only=True)
class _Group:
    """The spans of one operation, or of one edge, by one version."""

    milliseconds: list[float] = field(default_factory=list)
    errors: int = 0
    trace_ids: list[str] = field(default_factory=list)
    failed_ids: list[str] = field(default_factory=list)
    messages: set[str] = field(default_factory=set)

    def add(self, trace_id: str, span: Span) -> None:
        self.milliseconds.append((span.end - span.start) / 1e6)
        _append(self.trace_ids, trace_id)
        if span.error:
            self.errors += 1
            self.messages.add(span.message)
            _append(self.failed_ids, trace_id)

    @property
    def number(self) -> int:
        return len(self.milliseconds)


def _append(identifiers: list[str], identifier: str) -> None:
    if identifier not in identifiers and len(identifiers) < _EXAMPLES:
        identifiers.append(identifier)


def differences(traces: Mapping[str, Sequence[Span]]) -> list[Difference]:
    """Compares the spans of both versions in traces.

    Args:
        traces: trace id → its spans. A trace may have spans of both versions, since each service has its own.
    """
    operations: dict[str, dict[Track, _Group]] = defaultdict(lambda: defaultdict(_Group))
    edges: dict[str, dict[Track, _Group]] = defaultdict(lambda: defaultdict(_Group))
    for trace_id, spans in traces.items():
        by_id = {span.span_id: span for span in spans}
        for span in spans:
            track: Track = "canary" if span.deployment == endpoints.track(span.service, "canary") else "baseline"
            operations[_operation(span)][track].add(trace_id, span)
            parent = by_id.get(span.parent_id)
            if parent is not None and parent.service != span.service:
                edges[f"{_operation(parent)} → {_operation(span)}"][track].add(trace_id, span)
    services = _compared_services(traces.values())
    result = [*_one_sided("operation", operations, services), *_one_sided("edge", edges, services)]
    for name, groups in sorted(operations.items()):
        result += _changed(name, groups["canary"], groups["baseline"])
    return result


def _compared_services(traces: Iterable[Sequence[Span]]) -> set[str]:
    """The services of which both versions have enough entry spans: a consumer may have no partition."""
    counts: dict[str, dict[bool, int]] = defaultdict(lambda: defaultdict(int))
    for spans in traces:
        for span in spans:
            if span.kind in ("SERVER", "CONSUMER"):
                counts[span.service][span.deployment == endpoints.track(span.service, "canary")] += 1
    return {service for service, number in counts.items() if min(number[True], number[False]) >= _FEWEST}


def _one_sided(
    kind: Literal["operation", "edge"], groups: Mapping[str, Mapping[Track, _Group]], services: set[str]
) -> Iterable[Difference]:
    """The operations or edges that only one version has."""
    for name, by_track in sorted(groups.items()):
        service = name.rpartition(" → ")[2].partition(":")[0]
        numbers = {track: by_track[track].number if track in by_track else 0 for track in ("canary", "baseline")}
        if service in services and 0 in numbers.values() and max(numbers.values()) >= _FEWEST:
            present = by_track["canary" if numbers["canary"] else "baseline"]
            yield Difference(
                kind=kind,
                name=name,
                canary=f"{numbers['canary']} spans",
                baseline=f"{numbers['baseline']} spans",
                trace_ids=present.trace_ids,
            )


def _changed(name: str, canary: _Group, baseline: _Group) -> Iterable[Difference]:
    """Longer durations of an operation, and errors that the baseline has not."""
    if canary.errors and canary.errors / canary.number > baseline.errors / max(baseline.number, 1):
        yield Difference(
            kind="errors",
            name=name,
            canary=f"{canary.errors} of {canary.number}: {', '.join(sorted(canary.messages))}",
            baseline=f"{baseline.errors} of {baseline.number}",
            trace_ids=canary.failed_ids,
        )
    if min(canary.number, baseline.number) >= _FEWEST:
        new, usual = median(canary.milliseconds), median(baseline.milliseconds)
        if new > _SLOWER * usual and new - usual > _SLOWER_MILLISECONDS:
            yield Difference(
                kind="duration",
                name=name,
                canary=f"{new:.1f} ms",
                baseline=f"{usual:.1f} ms",
                trace_ids=canary.trace_ids,
            )


def _operation(span: Span) -> str:
    return f"{span.service}: {span.name}"
