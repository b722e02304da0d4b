"""The edge table: which service's span is the parent of which, along the way of one task."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stack.clients.traces import Span
from stack.polling import CheckFailure


@dataclass(frozen=True, kw_only=True)
class Hop:
    """A span that must be there, and the hop that must be its parent; spans of kind INTERNAL may stand between."""

    service: str
    kind: str
    name: str
    parent: "Hop | None"

    def __str__(self) -> str:
        return f"{self.service} {self.kind} {self.name!r}"


REQUEST: Final = Hop(service="gateway", kind="SERVER", name="POST /api/tasks", parent=None)
SEND_NEW: Final = Hop(service="gateway", kind="PRODUCER", name="send task-status", parent=REQUEST)
PROCESS_NEW: Final = Hop(service="task-manager", kind="CONSUMER", name="process task-status", parent=SEND_NEW)
INSERT: Final = Hop(service="task-manager", kind="CLIENT", name="INSERT web_crawl_tasks", parent=PROCESS_NEW)
SEND_CRAWL: Final = Hop(service="task-manager", kind="PRODUCER", name="send requests-web-crawl", parent=PROCESS_NEW)
CRAWL: Final = Hop(service="web-crawler", kind="CONSUMER", name="process requests-web-crawl", parent=SEND_CRAWL)
FETCH: Final = Hop(service="web-crawler", kind="CLIENT", name="GET", parent=CRAWL)
PAGE: Final = Hop(service="gateway", kind="SERVER", name="GET /demo", parent=FETCH)
SEND_DONE: Final = Hop(service="web-crawler", kind="PRODUCER", name="send task-status", parent=CRAWL)
PROCESS_DONE: Final = Hop(service="task-manager", kind="CONSUMER", name="process task-status", parent=SEND_DONE)
UPDATE: Final = Hop(service="task-manager", kind="CLIENT", name="UPDATE web_crawl_tasks", parent=PROCESS_DONE)

HOPS: Final = (
    REQUEST, SEND_NEW, PROCESS_NEW, INSERT, SEND_CRAWL, CRAWL, FETCH, PAGE, SEND_DONE, PROCESS_DONE, UPDATE,
)  # fmt: skip


def match(spans: Sequence[Span], client_span_id: str, hops: Sequence[Hop] = HOPS) -> dict[Hop, Span]:
    """The span of each hop. What was tried again has several spans of a hop; those of one way through are taken.

    Args:
        spans: all spans of the trace.
        client_span_id: span id in the `traceparent` that the caller sent, the parent of the first hop.
        hops: those that must be there, each after its parent.

    Raises:
        CheckFailure: names the first hop that is missing or has the wrong parent, on the way that leads furthest.
    """
    by_id = {span.span_id: span for span in spans}
    furthest = -1, CheckFailure("no hops", "the edge table")

    def onwards(found: dict[Hop, Span]) -> dict[Hop, Span] | None:
        nonlocal furthest
        if len(found) == len(hops):
            return found
        hop = hops[len(found)]
        wanted = found[hop.parent].span_id if hop.parent else client_span_id
        same = [span for span in spans if (span.service, span.kind, span.name) == (hop.service, hop.kind, hop.name)]
        here = [span for span in same if _parent(span, by_id) == wanted]
        if not here and len(found) > furthest[0]:
            furthest = len(found), _missing(hop, len(same))
        return next((way for span in here if (way := onwards({**found, hop: span}))), None)

    way = onwards({})
    if way is None:
        raise furthest[1]
    return way


def _missing(hop: Hop, elsewhere: int) -> CheckFailure:
    after = f"after {hop.parent}" if hop.parent else "with the caller's span as its parent"
    why = (
        f"{elsewhere} such span(s) in the trace, but none {after}: the context was lost on the way"
        if elsewhere
        else f"no such span {after}"
    )
    return CheckFailure(f"hop missing: {hop}: {why}", f"the logs of {hop.service}")


def _parent(span: Span, by_id: dict[str, Span]) -> str:
    """Id of the nearest span above that is not the same service's own INTERNAL span."""
    parent = by_id.get(span.parent_id)
    while parent is not None and parent.kind == "INTERNAL" and parent.service == span.service:
        span, parent = parent, by_id.get(parent.parent_id)
    return span.parent_id
