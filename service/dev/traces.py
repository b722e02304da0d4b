"""Gathers the spans of all services into traces, and knows when one is complete."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode

from contracts.topics import DEAD_LETTER_SUFFIX
from service.tracing import attributes as keys

# A server's span may end a moment after its caller's, so a trace that looks complete is looked at once more.
_SETTLE_SECONDS = 0.3
_LONGEST_WAIT = 20.0
_MOST_REMEMBERED = 1000


@dataclass(frozen=True, kw_only=True)
class Hop:
    """A span and whose it is."""

    service: str
    span: ReadableSpan

    @property
    def id(self) -> int:
        span_id: int = self.span.context.span_id
        return span_id

    @property
    def parent_id(self) -> int | None:
        return self.span.parent.span_id if self.span.parent else None

    @property
    def start(self) -> int:
        """Nanoseconds since 1970."""
        return self.span.start_time or 0

    @property
    def end(self) -> int:
        """Nanoseconds since 1970."""
        return self.span.end_time or self.start

    def attribute(self, key: str) -> object:
        """The attribute's value, None where there is none."""
        return (self.span.attributes or {}).get(key)

    @property
    def failed(self) -> bool:
        return self.span.status.status_code is StatusCode.ERROR


@dataclass(frozen=True, kw_only=True)
class Trace:
    """The hops of one trace, in the order of their starts."""

    id: str
    hops: Sequence[Hop]
    complete: bool

    def children(self, hop: Hop | None) -> list[Hop]:
        """Those below `hop`; of None, those whose parent is not among the hops."""
        if hop is not None:
            return [child for child in self.hops if child.parent_id == hop.id]
        known = {found.id for found in self.hops}
        return [root for root in self.hops if root.parent_id not in known]


def is_complete(hops: Sequence[Hop]) -> bool:
    """Whether nothing is under way any more: every parent has ended, every message sent was handled."""
    known = {hop.id for hop in hops}
    root = min(hops, key=lambda hop: hop.start)
    if any(hop.parent_id not in known for hop in hops if hop is not root):
        return False
    for sent in hops:
        if sent.span.kind is not SpanKind.PRODUCER or sent.failed:
            continue
        if str(sent.attribute(keys.MESSAGING_DESTINATION_NAME)).endswith(DEAD_LETTER_SUFFIX):
            continue
        handled = [hop for hop in hops if hop.parent_id == sent.id and hop.span.kind is SpanKind.CONSUMER]
        # A message whose handling failed comes again.
        if not handled or max(handled, key=lambda hop: hop.start).attribute(keys.OUTCOME) == "failure":
            return False
    return True


@dataclass
class _Gathering:
    hops: list[Hop] = field(default_factory=list)
    changed_at: float = 0.0


class Traces:
    """Hands each trace on once, when it is complete, or when nothing more came of it for a while."""

    def __init__(self, show: Callable[[Trace], None]) -> None:
        self._show = show
        self._lock = threading.Lock()
        self._gathering: dict[int, _Gathering] = {}
        self._shown: OrderedDict[int, None] = OrderedDict()

    def exporter(self, service: str) -> SpanExporter:
        """Where the spans of one service go."""
        return _Exporter(service, self)

    def add(self, service: str, spans: Sequence[ReadableSpan]) -> None:
        """Spans that ended."""
        with self._lock:
            for span in spans:
                if span.context.trace_id in self._shown:
                    continue
                gathering = self._gathering.setdefault(span.context.trace_id, _Gathering())
                gathering.hops.append(Hop(service=service, span=span))
                gathering.changed_at = time.monotonic()

    def show_finished(self, *, everything: bool = False) -> None:
        """Shows what is complete, or waits in vain; everything: whatever there is."""
        now = time.monotonic()
        finished = []
        with self._lock:
            for trace_id, gathering in list(self._gathering.items()):
                quiet = now - gathering.changed_at
                complete = is_complete(gathering.hops)
                if everything or quiet > (_SETTLE_SECONDS if complete else _LONGEST_WAIT):
                    del self._gathering[trace_id]
                    self._shown[trace_id] = None
                    while len(self._shown) > _MOST_REMEMBERED:
                        self._shown.popitem(last=False)
                    hops = sorted(gathering.hops, key=lambda hop: hop.start)
                    finished.append(Trace(id=f"{trace_id:032x}", hops=hops, complete=complete))
        for trace in finished:
            self._show(trace)


class _Exporter(SpanExporter):
    def __init__(self, service: str, traces: Traces) -> None:
        self._service = service
        self._traces = traces

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._traces.add(self._service, spans)
        return SpanExportResult.SUCCESS
