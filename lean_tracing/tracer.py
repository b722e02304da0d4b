"""The tracer behind the trace manager: OpenTelemetry's API, with the cheap spans of `span.py`."""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter_ns
from typing import Final, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Tracer,
)
from opentelemetry.util._decorator import _agnosticcontextmanager
from opentelemetry.util.types import Attributes

from lean_tracing.current import current_span
from lean_tracing.sampling import TraceSampler
from lean_tracing.span import FLAGS, NO_STATE, Limits, RecordedSpan
from lean_tracing.statistics import SpanCounts

_SAMPLED: Final = 1
_RANDOM_TRACE_ID: Final = 2
_new_tuple: Final = tuple.__new__
# One span in 64 is timed, because reading the clock costs a tenth of what it measures.
_TIMED_MASK: Final = 63
# Not the generator of the module `random`, which the application may seed. A forked child seeds it again from the
# kernel, because otherwise parent and child would make the same ids.
generator: Final = random.Random()
random_bits: Final = generator.getrandbits
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=generator.seed)


class TracerParts(NamedTuple):
    """What the tracers of a process share."""

    sampler: TraceSampler
    """Decides which spans are recorded."""
    limits: Limits
    """Of each span."""
    counts: SpanCounts
    """Where the spans are counted."""
    on_end: Callable[[RecordedSpan], None]
    """Gets every recorded span at its end, in the thread that ends it."""


class LeanTracer(Tracer):
    """Makes `RecordedSpan`s, and for traces that are not sampled spans that record nothing."""

    def __init__(self, scope: InstrumentationScope, parts: TracerParts) -> None:
        """Creates a tracer of one library, `scope`."""
        self._scope = scope
        self._sampler, self._limits, self._counts, self._on_end = parts
        self._follows_parents = parts.sampler.parent_based

    def for_native(self) -> tuple[object, ...]:
        """The arguments of the native part's `Starter`, after its twin."""
        limits, sampler = self._limits, self._sampler
        return (
            self._scope,
            limits,
            self._counts,
            self._on_end,
            limits.attributes,
            limits.value_length,
            limits.links,
            sampler.parent_based,
            sampler.records_all,
        )

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        counts = self._counts
        began = 0 if counts.started & _TIMED_MASK else perf_counter_ns()
        current = current_span(context)
        parent = current.get_span_context()
        trace_id, _, _, parent_flags, state, has_parent = parent
        bits = parent_flags & _RANDOM_TRACE_ID
        if has_parent and self._follows_parents:
            sampled = parent_flags & _SAMPLED
        else:
            if not has_parent:
                trace_id, state, bits = random_bits(128) or 1, NO_STATE, _RANDOM_TRACE_ID
            sampled = self._sampler.samples(trace_id, attributes)
        # Not by calling the class, which would check the ids, and take as long as all this. 0 is no id.
        own = _new_tuple(SpanContext, (trace_id, random_bits(64) or 1, False, FLAGS[bits | sampled], state, True))
        if not sampled:
            counts.sampled_out += 1
            return NonRecordingSpan(own)
        counts.started += 1
        span = RecordedSpan(
            name,
            own,
            parent if has_parent else None,
            kind,
            attributes,
            links or (),
            self._scope,
            self._limits,
            start_time,
            self._on_end,
            # Not the clock of a parent that has ended: work in the background may outlive it by days.
            current._clock if isinstance(current, RecordedSpan) and current.end_time is None else None,
        )
        if not (record_exception and set_status_on_exception):
            span.records_exception, span.sets_status_on_exception = record_exception, set_status_on_exception
        if began:
            counts.timed += 1
            counts.timed_ns += perf_counter_ns() - began
        return span

    @_agnosticcontextmanager  # as a decorator it works with coroutine functions as well
    def start_as_current_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[Span]:
        span = self.start_span(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )
        with trace.use_span(span, end_on_exit, record_exception=False, set_status_on_exception=False):
            try:
                yield span
            except BaseException as error:
                if isinstance(span, RecordedSpan):
                    span.failed(error)
                raise
