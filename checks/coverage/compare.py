"""Compares a trace of the store with the trace that an operation must produce."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from checks.coverage.expected import ExpectedSpan
from stack.clients.traces import Span
from stack.probe.match import parent_outside

_BETWEEN_PROCESSES: Final = frozenset({"SERVER", "PRODUCER", "CONSUMER"})
"""Of these kinds, a span too many is as wrong as a span too few. The others (statements, connections) are a service's
own business."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How a trace differs from the expected one."""

    missing: tuple[str, ...] = ()
    """Expected spans that the trace lacks."""
    wrong: tuple[str, ...] = ()
    """Spans that are not expected, or whose parent is missing."""
    repeated: int = 0
    """Spans of an expected span that is there more than once, because a message was delivered again."""

    @property
    def is_complete(self) -> bool:
        """Whether the trace has every expected span, each below its parent, and no other."""
        return not self.missing and not self.wrong


@dataclass(kw_only=True)
class _Attempt:
    """One way to match the spans below a span."""

    used: set[str]
    missing: list[str]
    repeated: int = 0


def compare(spans: Sequence[Span], expected: ExpectedSpan, parent_id: str) -> Comparison:
    """Compares the spans of a trace with `expected`.

    Args:
        spans: all spans of the trace.
        expected: the root of the expected trace.
        parent_id: the span id that must be the parent of `expected`; "" if it must have none.
    """
    by_id = {span.span_id: span for span in spans}
    children: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        if span.kind != "INTERNAL":
            children[parent_outside(span, by_id)].append(span)
    attempt = _Attempt(used=set(), missing=[])
    _match(expected, parent_id, "the caller's span" if parent_id else "no parent", children, attempt)
    wrong = []
    for span in spans:
        if span.parent_id not in by_id and span.parent_id != parent_id:
            wrong.append(f"{span.service} {span.kind} {span.name!r} has a parent that is not in the trace")
        elif span.kind in _BETWEEN_PROCESSES and span.span_id not in attempt.used:
            wrong.append(f"{span.service} {span.kind} {span.name!r} is not expected there")
    if len(by_id) != len(spans):
        wrong.append(f"{len(spans) - len(by_id)} span ids occur twice")
    return Comparison(missing=tuple(attempt.missing), wrong=tuple(wrong), repeated=attempt.repeated)


def _match(
    expected: ExpectedSpan, parent_id: str, parent: str, children: Mapping[str, Sequence[Span]], attempt: _Attempt
) -> None:
    """Adds to `attempt` the spans of `expected` and of what is below it."""
    alike = [
        span
        for span in children.get(parent_id, ())
        if (span.service, span.kind, span.name) == (expected.service, expected.kind, expected.name)
        and span.span_id not in attempt.used
    ]
    if not alike:
        attempt.missing.append(f"{expected} below {parent}")
        return
    # Of several spans the one counts that has most of the expected ones below it: a message that was delivered again
    # may have failed early the first time.
    tried = []
    for span in alike:
        below = _Attempt(used={span.span_id}, missing=[])
        for child in expected.children:
            _match(child, span.span_id, str(expected), children, below)
        tried.append(below)
    best = min(tried, key=lambda one: len(one.missing))
    attempt.missing += best.missing
    attempt.repeated += best.repeated
    if expected.kind in _BETWEEN_PROCESSES:
        attempt.used |= set().union(*(one.used for one in tried))
        attempt.repeated += len(alike) - 1
    else:
        attempt.used |= best.used
