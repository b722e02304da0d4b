"""Collects the spans of all services into traces, and detects when a trace is complete."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode

from contracts.topics import DEAD_LETTER_SUFFIX
from lean_tracing import attributes as keys
from service.common.span_attributes import OWN

# A server's span may end a moment after its caller's, so a complete trace is shown after this delay.
_SETTLE_SECONDS = 0.3
_INCOMPLETE_SECONDS = 20.0
_MOST_SHOWN = 1000


@dataclass(frozen=True, kw_only=True)
class ServiceSpan:
    """A span with the name of its service."""

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
        """The attribute's value, or None."""
        return (self.span.attributes or {}).get(key)

    @property
    def is_failed(self) -> bool:
        return self.span.status.status_code is StatusCode.ERROR


@dataclass(frozen=True, kw_only=True)
class Trace:
    """The spans of one trace, in the order of their starts."""

    id: str
    spans: Sequence[ServiceSpan]
    is_complete: bool

    def children(self, parent: ServiceSpan | None) -> list[ServiceSpan]:
        """The children of `parent`; for None, the spans whose parent is not in the trace."""
        if parent is not None:
            return [span for span in self.spans if span.parent_id == parent.id]
        ids = {span.id for span in self.spans}
        return [span for span in self.spans if span.parent_id not in ids]


def is_complete(spans: Sequence[ServiceSpan]) -> bool:
    """Whether all work of the trace is done: each parent has ended, and each sent message has been handled."""
    ids = {span.id for span in spans}
    root = min(spans, key=lambda span: span.start)
    if any(span.parent_id not in ids for span in spans if span is not root):
        return False
    for sent in spans:
        if sent.span.kind is not SpanKind.PRODUCER or sent.is_failed:
            continue
        if str(sent.attribute(keys.MESSAGING_DESTINATION_NAME)).endswith(DEAD_LETTER_SUFFIX):
            continue
        attempts = [span for span in spans if span.parent_id == sent.id and span.span.kind is SpanKind.CONSUMER]
        # After a failure the message is delivered again.
        if not attempts or max(attempts, key=lambda span: span.start).attribute(OWN.outcome) == "failure":
            return False
    return True


@dataclass
class _Collected:
    spans: list[ServiceSpan] = field(default_factory=list)
    changed_at: float = 0.0


class Traces:
    """Shows each trace once: when it is complete, or when no span of it has arrived for a while."""

    def __init__(self, show: Callable[[Trace], None]) -> None:
        self._show = show
        self._lock = threading.Lock()
        self._collected: dict[int, _Collected] = {}
        self._shown: OrderedDict[int, None] = OrderedDict()

    def exporter(self, service: str) -> SpanExporter:
        """The exporter for the spans of one service."""
        return _Exporter(service, self)

    def add(self, service: str, spans: Sequence[ReadableSpan]) -> None:
        """Adds spans that have ended."""
        with self._lock:
            for span in spans:
                if span.context.trace_id in self._shown:
                    continue
                collected = self._collected.setdefault(span.context.trace_id, _Collected())
                collected.spans.append(ServiceSpan(service=service, span=span))
                collected.changed_at = time.monotonic()

    def show_finished(self, *, everything: bool = False) -> None:
        """Shows the traces that are complete, or wait too long. everything: shows all others as well."""
        now = time.monotonic()
        finished = []
        with self._lock:
            for trace_id, collected in list(self._collected.items()):
                quiet = now - collected.changed_at
                complete = is_complete(collected.spans)
                if everything or quiet > (_SETTLE_SECONDS if complete else _INCOMPLETE_SECONDS):
                    del self._collected[trace_id]
                    self._shown[trace_id] = None
                    while len(self._shown) > _MOST_SHOWN:
                        self._shown.popitem(last=False)
                    spans = sorted(collected.spans, key=lambda span: span.start)
                    finished.append(Trace(id=f"{trace_id:032x}", spans=spans, is_complete=complete))
        for trace in finished:
            self._show(trace)


class _Exporter(SpanExporter):
    def __init__(self, service: str, traces: Traces) -> None:
        self._service = service
        self._traces = traces

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._traces.add(self._service, spans)
        return SpanExportResult.SUCCESS
