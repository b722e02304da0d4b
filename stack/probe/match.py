"""Compares a trace with the edge table."""

from collections.abc import Sequence

from contracts.hops import HOPS, Hop
from stack.clients.traces import Span
from stack.polling import CheckFailure


def match_hops(spans: Sequence[Span], caller_span_id: str, hops: Sequence[Hop] = HOPS) -> dict[Hop, Span]:
    """Finds the span of each hop.

    A retried hop has several spans. The spans returned belong to one attempt that leads through all hops.

    Args:
        spans: all spans of the trace.
        caller_span_id: the span id in the `traceparent` that the caller sent, the parent of the first hop.
        hops: the required hops, each after its parent.

    Raises:
        CheckFailure: a hop is missing or has the wrong parent. Names the first such hop of the attempt that gets
            furthest.
    """
    by_id = {span.span_id: span for span in spans}
    furthest = -1, CheckFailure("no hops", "the edge table")

    def extend(matched: dict[Hop, Span]) -> dict[Hop, Span] | None:
        nonlocal furthest
        if len(matched) == len(hops):
            return matched
        hop = hops[len(matched)]
        parent_id = matched[hop.parent].span_id if hop.parent else caller_span_id
        alike = [span for span in spans if (span.service, span.kind, span.name) == (hop.service, hop.kind, hop.name)]
        candidates = [span for span in alike if parent_outside(span, by_id) == parent_id]
        if not candidates and len(matched) > furthest[0]:
            furthest = len(matched), _missing(hop, len(alike))
        return next((attempt for span in candidates if (attempt := extend({**matched, hop: span}))), None)

    attempt = extend({})
    if attempt is None:
        raise furthest[1]
    return attempt


def parent_outside(span: Span, by_id: dict[str, Span]) -> str:
    """Id of the nearest span above that is not an INTERNAL span of the same service."""
    parent = by_id.get(span.parent_id)
    while parent is not None and parent.kind == "INTERNAL" and parent.service == span.service:
        span, parent = parent, by_id.get(parent.parent_id)
    return span.parent_id


def _missing(hop: Hop, alike: int) -> CheckFailure:
    after = f"after {hop.parent}" if hop.parent else "with the caller's span as its parent"
    why = (
        f"the trace has {alike} such span(s), but none {after}: the trace context was lost in between"
        if alike
        else f"no such span {after}"
    )
    return CheckFailure(f"hop missing: {hop}: {why}", f"the logs of {hop.service}")
