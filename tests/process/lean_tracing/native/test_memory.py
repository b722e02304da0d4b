"""The native part loses no memory and no reference, on its common ways and on those through its twins."""

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState

from lean_tracing.current import with_span
from lean_tracing.log_encoder import LogEncoder, LogEntry
from lean_tracing.propagation import Propagator, with_correlation_id
from lean_tracing.redaction import Redactor
from lean_tracing.sampling import TraceSampler
from lean_tracing.shared_attributes import SharedAttributes
from lean_tracing.span import FLAGS, NO_STATE, UNSET, Limits, RecordedSpan
from lean_tracing.span_encoder import SpanEncoder
from lean_tracing.spans import TraceManager
from lean_tracing.statistics import SpanCounts
from lean_tracing.tracer import LeanTracer, TracerParts

_RUNS = 1_000
# A few blocks come and go with the caches of the interpreter.
_STRAY_BLOCKS = 300


class _Broken:
    def __str__(self) -> str:
        raise ValueError("no text")


_REMOTE = SpanContext(7 << 64, 8, True, TraceFlags(3))
_PARENT = with_span(NonRecordingSpan(_REMOTE), Context())
_STATEFUL = with_span(NonRecordingSpan(SpanContext(7, 8, True, TraceFlags(1), TraceState([("a", "b")]))), Context())
_SHARED = SharedAttributes({"db.system.name": "postgresql", "server.port": 5432, "db.query.text": "x=?"})
_ATTRIBUTES: Mapping[str, Mapping[Any, Any]] = {
    "common": {"task.status": "new", "attempt": 1, "price": 0.7, "first": True},
    "searched": {"url.full": "http://web/a?b=c", "note": "größer", "password": "hunter22", "email": "ada@example.com"},
    "unusual": {"none": None, "list": [1, "a", {"b": (2,)}], 5: "key", "long": "x" * 40_000, "big": 2**80},
    "broken": {"broken": _Broken(), "bytes": b"\xff"},
    "many": {f"key {number}": number for number in range(200)},
}


class _Tracing:
    def __init__(self, compiled: ModuleType) -> None:
        redactor = Redactor("a key for tests", compiled.is_harmless)
        self.ended: list[RecordedSpan] = []
        parts = TracerParts(TraceSampler(1.0), Limits(), SpanCounts(), self.ended.append)
        self.traces = TraceManager(LeanTracer(InstrumentationScope("tests"), parts), redactor, native=compiled)
        self.spans = SpanEncoder(Resource({}), redactor, native=compiled)
        self.propagator = Propagator(redactor=redactor, native=compiled)
        self.logs = LogEncoder(Resource({}), redactor, native=compiled)

    def encode(self) -> None:
        hand_over = self.spans.hand_over_to(lambda item: self.spans.item(item) and None)
        for span in self.ended:
            self.spans.item(span)
            hand_over(span)
        self.ended.clear()


def _spans(tracing: _Tracing, attributes: Mapping[Any, Any]) -> None:
    with (
        tracing.traces.span("outer", attributes=attributes, kind=SpanKind.SERVER, context=_PARENT) as outer,
        tracing.traces.span("inner", attributes=_SHARED, context=_STATEFUL, links=(Link(_REMOTE),)) as inner,
    ):
        inner.set_attributes(attributes)
        inner.set_attribute("db.query.text", "another")
        for key, value in attributes.items():
            outer.set_attribute(key, value)
    outer.set_attribute("late", 1)
    outer.end()
    tracing.encode()


def _failing(tracing: _Tracing, attributes: Mapping[Any, Any]) -> None:
    with pytest.raises(ValueError, match="no"), tracing.traces.span("fails", attributes=attributes):
        raise ValueError("no")
    with pytest.raises(TypeError):
        tracing.traces.span("a", colour="red")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        tracing.ended[0].set_attribute("a")  # type: ignore[call-arg]
    with tracing.traces.suppressed(), tracing.traces.span("none"):
        pass
    tracing.encode()


def _logs(tracing: _Tracing, attributes: Mapping[Any, Any]) -> None:
    tracing.logs.item(
        LogEntry(
            time_ns=5,
            severity=9,
            severity_text="INFO",
            body="x=1",
            attributes=attributes,
            trace_id=7,
            span_id=8,
            trace_flags=1,
        )
    )


def _headers(tracing: _Tracing, _: Mapping[Any, Any]) -> None:
    good, bad = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", b"00-x"
    values: tuple[Any, ...] = (good, bad, None)
    for value in values:
        tracing.propagator.from_http([(b"host", b"x"), (b"TraceParent", value)])
        context, links = tracing.propagator.producer_in([("status", b"x"), ("traceparent", value)])
        span = tracing.traces.start("message", context=context, links=links)
        carriers: tuple[Any, ...] = ((), [("status", b"x"), ("Baggage", b"x")], [("größer", value)], [("short",)])
        for carrier in carriers:
            with contextlib.suppress(ValueError):  # a header that is no pair
                tracing.propagator.to_kafka(carrier, context, span)
        tracing.propagator.answer(context, span)
        tracing.propagator.answer(with_correlation_id(context, "a"), span)
        span.update_name("another")


@pytest.fixture
def _fast_collections() -> Iterator[None]:
    """Excludes from garbage collections what was there before the test, all modules among it."""
    gc.freeze()
    yield
    gc.unfreeze()


_WORK: Sequence[tuple[Callable[[_Tracing, Mapping[Any, Any]], None], str]] = (
    *((work, name) for work in (_spans, _failing, _logs) for name in _ATTRIBUTES),
    (_headers, "common"),  # it has no attributes
)


@pytest.mark.usefixtures("_fast_collections")
@pytest.mark.parametrize(("work", "name"), _WORK)
def test_repeated_work_takes_no_more_memory(
    compiled: ModuleType,
    work: Callable[[_Tracing, Mapping[Any, Any]], None],
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("CRITICAL")  # the records of late attributes would be kept
    attributes = _ATTRIBUTES[name]
    tracing = _Tracing(compiled)
    kept = (NO_STATE, UNSET, SpanKind.INTERNAL, _SHARED, _REMOTE, *FLAGS)
    runs = _RUNS if len(attributes) < 10 else _RUNS // 20

    def measure() -> tuple[int, list[int]]:
        for _ in range(runs):
            work(tracing, attributes)
        gc.collect()
        return sys.getallocatedblocks(), list(map(sys.getrefcount, kept))

    measure()
    blocks, references = measure()
    blocks_after, references_after = measure()
    assert blocks_after - blocks < _STRAY_BLOCKS
    assert all(after - earlier < 10 for earlier, after in zip(references, references_after, strict=True))


def test_everything_is_released(compiled: ModuleType) -> None:
    """The parts refer to each other in circles, which the garbage collector finds."""
    gc.collect()
    counts = [sum(type(item).__name__ == name for item in gc.get_objects()) for name in ("Starter", "Writer", "Scope")]
    for _ in range(20):
        tracing = _Tracing(compiled)
        tracing.traces.span("never entered")
        _spans(tracing, {})
    del tracing
    gc.collect()
    after = [sum(type(item).__name__ == name for item in gc.get_objects()) for name in ("Starter", "Writer", "Scope")]
    assert after == counts


def test_a_forked_child_makes_spans_with_other_ids(compiled: ModuleType) -> None:
    tracing = _Tracing(compiled)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try:
            with tracing.traces.span("in the child") as span:
                os.write(write, trace.format_trace_id(span.get_span_context().trace_id).encode())
            tracing.encode()
        finally:
            os._exit(0)
    with tracing.traces.span("in the parent") as span:
        own = trace.format_trace_id(span.get_span_context().trace_id)
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0
    with os.fdopen(read) as pipe:
        received = pipe.read()
    assert len(received) == 32
    assert received != own
