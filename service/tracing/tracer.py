"""The tracer behind the trace manager: OpenTelemetry's API, and spans that cost a tenth of the SDK's.

A span here is a few slots and one dictionary. What the SDK does while the request waits (checking types, copying into
bounded collections, locks, a read-only copy at the end) is left to the thread that exports, or not needed: attributes
are checked where they are masked and encoded.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
)
from opentelemetry.util.types import Attributes, AttributeValue

from service.tracing import attributes as keys
from service.tracing.redaction import OVERLAP, Redactor, snapshot
from service.tracing.sampling import TraceSampler
from service.tracing.statistics import SpanCounts

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_UNSET: Final = Status(StatusCode.UNSET)
_NO_STATE: Final = TraceState()
# One object each instead of one a span. Bit 1: sampled; bit 2: the trace id is random, as W3C's level 2 says.
_FLAGS: Final = tuple(TraceFlags(bits) for bits in range(4))
_RANDOM_TRACE_ID: Final = 2
# What ends an operation before it has done its work, and is no fault of it.
ABORTED: Final = (asyncio.CancelledError, KeyboardInterrupt)
# One span in 64 is timed: the clock costs a tenth of what it measures.
_TIMED_MASK: Final = 63
_ALL: Final = sys.maxsize
_logger = logging.getLogger(__name__)
# Apart from the module `random`, whose generator the application may seed. In a forked child it begins again from the
# kernel's randomness, or parent and child would make the same ids.
_generator: Final = random.Random()
_random_bits: Final = _generator.getrandbits
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_generator.seed)


class Limits(NamedTuple):
    """How much a span shows; what is beyond is cut or dropped and counted.

    Of a longer value a little more is kept until the export, where it is masked before it is cut.
    """

    attributes: int = 128
    events: int = 128
    value_length: int = 16_384
    links: int = 128
    event_attributes: int | None = None
    """Of each event; None: as many as of a span."""
    link_attributes: int | None = None
    """Of each link; None: as many as of a span."""


class Event(NamedTuple):
    """A moment in a span's life; `timestamp` in ns since 1970."""

    timestamp: int
    name: str
    attributes: Mapping[str, AttributeValue]
    dropped_attributes: int


class _KeptLink(Link):
    """A link with a copy of its attributes, of which some may be dropped."""

    def __init__(self, context: SpanContext, attributes: Attributes, dropped: int) -> None:
        super().__init__(context, attributes)
        self._dropped = dropped

    @property
    def dropped_attributes(self) -> int:
        return self._dropped


class RecordedSpan(Span):
    """A span that is recorded, from its start to the export; read-only once it has ended.

    Its times are the wall clock's of one moment plus the monotonic clock's: a clock that is set meanwhile changes no
    duration. Its children take the same moment, so that they lie within it.
    """

    __slots__ = (
        "_clock",
        "_ended",
        "attributes",
        "context",
        "dropped_attributes",
        "dropped_events",
        "dropped_links",
        "end_time",
        "events",
        "instrumentation_scope",
        "kind",
        "limits",
        "links",
        "name",
        "parent",
        "start_time",
        "status",
    )

    def __init__(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Attributes,
        links: Sequence[Link],
        scope: InstrumentationScope,
        limits: Limits,
        start_time: int | None,
        ended: Callable[[RecordedSpan], None],
        clock: int | None = None,
    ) -> None:
        """clock: wall clock minus monotonic clock, in ns; None reads both."""
        self.name = name
        self.context = context
        self.parent = parent
        self.kind = kind
        self.links: Sequence[Link] = ()
        self.dropped_links = 0
        if links:
            self.links = tuple(_kept_link(link.context, link, limits) for link in links[: limits.links])
            self.dropped_links = len(links) - len(self.links)
        self.events: Sequence[Event] = ()
        self.status = _UNSET
        self.instrumentation_scope = scope
        self.dropped_attributes = 0
        self.dropped_events = 0
        self.end_time: int | None = None
        self.limits = limits
        self._ended = ended
        self.attributes: dict[str, AttributeValue] = {}
        if attributes is not None:
            self.set_attributes(attributes)
        if clock is None:
            wall = time_ns()
            self._clock = wall - perf_counter_ns()
        else:
            self._clock = clock
            wall = clock + perf_counter_ns()
        self.start_time = wall if start_time is None else start_time

    def get_span_context(self) -> SpanContext:
        """See `Span`."""
        return self.context

    def is_recording(self) -> bool:
        """Until its end."""
        return self.end_time is None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """See `Span`."""
        if self.end_time is not None:
            _logger.warning("attribute %s is too late, span %s has ended", key, self.name)
            return
        kind = type(value)
        if kind is str:
            if len(value) > self.limits.value_length:  # type: ignore[arg-type]
                value = value[: self.limits.value_length + OVERLAP + 1]  # type: ignore[index]
        elif kind is not int and kind is not bool and kind is not float:
            value = snapshot(value, self.limits.value_length)  # type: ignore[assignment]
        attributes = self.attributes
        try:
            if len(attributes) < self.limits.attributes or key in attributes:
                attributes[key] = value
                return
        except TypeError:  # no text, and nothing that a dictionary takes for a key
            pass
        self.dropped_attributes += 1

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """See `Span`."""
        try:
            for key, value in attributes.items():
                self.set_attribute(key, value)
        except Exception:  # another thread has changed it meanwhile, or its own methods raise
            items, dropped = _items(attributes, _ALL)
            for key, value in items:
                self.set_attribute(key, value)
            self.dropped_attributes += dropped

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """See `Span`."""
        if self.end_time is not None:
            _logger.warning("event %s is too late, span %s has ended", name, self.name)
            return
        if len(self.events) >= self.limits.events:
            self.dropped_events += 1
            return
        kept, dropped = _bounded(attributes, self.limits, self.limits.event_attributes)
        # A start that the caller gave may come from a clock that is ahead.
        at = max(self.start_time, self._clock + perf_counter_ns()) if timestamp is None else timestamp
        self.events = (*self.events, Event(at, name, kept, dropped))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """See `Span`."""
        if self.end_time is not None:
            _logger.warning("link is too late, span %s has ended", self.name)
        elif len(self.links) >= self.limits.links:
            self.dropped_links += 1
        else:
            self.links = (*self.links, _kept_link(context, Link(context, attributes), self.limits))

    def update_name(self, name: str) -> None:
        """See `Span`."""
        self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """See `Span`: OK is final, and UNSET takes nothing back."""
        if self.end_time is not None or self.status.status_code is StatusCode.OK:
            return
        if isinstance(status, StatusCode):
            status = Status(status, description)
        if status.status_code is not StatusCode.UNSET:
            self.status = status

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: ARG002 - deprecated by the conventions
    ) -> None:
        """See `Span`; its text is masked where it is encoded."""
        self.add_event(
            "exception",
            {
                keys.EXCEPTION_TYPE: f"{type(exception).__module__}.{type(exception).__qualname__}",
                keys.EXCEPTION_MESSAGE: _text_of(exception),
                keys.EXCEPTION_STACKTRACE: _stack_of(exception),
                **dict(_items(attributes, _ALL)[0]),
            },
            timestamp,
        )

    def end(self, end_time: int | None = None) -> None:
        """See `Span`."""
        if self.end_time is not None:
            _logger.warning("span %s has ended before", self.name)
            return
        # Either may come from a clock that is ahead or was set back.
        self.end_time = max(self.start_time, self._clock + perf_counter_ns() if end_time is None else end_time)
        self._ended(self)


def _items(attributes: Attributes, limit: int) -> tuple[list[tuple[str, AttributeValue]], int]:
    """The first attributes, and how many are dropped; of what cannot be read one is."""
    if attributes is None:
        return [], 0
    try:
        items = list(itertools.islice(attributes.items(), limit))
        return items, max(0, len(attributes) - len(items))
    except Exception:
        return [], 1


def _bounded(attributes: Attributes, limits: Limits, limit: int | None) -> tuple[Mapping[str, AttributeValue], int]:
    if attributes is None:
        return {}, 0
    items, dropped = _items(attributes, limits.attributes if limit is None else limit)
    length = limits.value_length
    try:
        bounded: dict[str, Any] = {key: snapshot(value, length) for key, value in items}
    except TypeError:  # some key is nothing that a dictionary takes for one
        return {}, dropped + len(items)
    return bounded, dropped


def _kept_link(context: SpanContext, link: Link, limits: Limits) -> Link:
    if link.attributes is None:
        return link
    bounded, dropped = _bounded(link.attributes, limits, limits.link_attributes)
    return _KeptLink(context, bounded, dropped + link.dropped_attributes)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return f"(no text: {type(error).__name__}.__str__ raises)"


def _stack_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:
        return ""


class LeanTracer(Tracer):
    """Makes `RecordedSpan`s, and spans that record nothing for traces that are not sampled."""

    def __init__(
        self,
        scope: str,
        sampler: TraceSampler,
        limits: Limits,
        counts: SpanCounts,
        ended: Callable[[RecordedSpan], None],
    ) -> None:
        """ended: gets every recorded span at its end, in the thread that ends it."""
        self._scope = InstrumentationScope(scope)
        self._sampler = sampler
        self._limits = limits
        self._counts = counts
        self._ended = ended

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: ARG002 - only of use to `start_as_current_span`
        set_status_on_exception: bool = True,  # noqa: ARG002
    ) -> Span:
        """See `Tracer`."""
        counts = self._counts
        began = 0 if counts.started & _TIMED_MASK else perf_counter_ns()
        current = trace.get_current_span(context)
        parent = current.get_span_context()
        if parent.is_valid:
            trace_id, state, bits = parent.trace_id, parent.trace_state, parent.trace_flags & _RANDOM_TRACE_ID
        else:
            trace_id, state, bits = _random_id(128), _NO_STATE, _RANDOM_TRACE_ID
        sampled = self._sampler.samples(parent, trace_id, attributes)
        own = SpanContext(trace_id, _random_id(64), False, _FLAGS[bits | sampled], state)
        if not sampled:
            counts.sampled_out += 1
            return NonRecordingSpan(own)
        counts.started += 1
        span = RecordedSpan(
            name,
            own,
            parent if parent.is_valid else None,
            kind,
            attributes,
            links or (),
            self._scope,
            self._limits,
            start_time,
            self._ended,
            # Not that of a parent which has ended: work in the background may outlive it by days.
            current._clock if type(current) is RecordedSpan and current.end_time is None else None,
        )
        if began:
            counts.timed += 1
            counts.timed_ns += perf_counter_ns() - began
        return span

    @contextmanager
    def start_as_current_span(  # type: ignore[override]
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
        """See `Tracer`."""
        span = self.start_span(name, context, kind, attributes, links, start_time)
        with trace.use_span(span, end_on_exit, record_exception=False, set_status_on_exception=False):
            try:
                yield span
            except BaseException as error:
                if span.is_recording() and is_failure(error):
                    if record_exception:
                        span.record_exception(error)
                    if set_status_on_exception:
                        span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {_text_of(error)}")
                raise


def _random_id(bits: int) -> int:
    # 0 means "no id"; one in 2^64 is never, until it is.
    return _random_bits(bits) or _random_id(bits)


def is_failure(error: BaseException) -> bool:
    """Whether the operation that `error` left has failed.

    Not where it was asked to end (cancelled, Ctrl-C, a generator closed), where it ends the process with success, or
    where the error is an iterator's way to say that it is at its end.
    """
    if isinstance(error, BaseExceptionGroup):
        return any(map(is_failure, error.exceptions))
    if isinstance(error, SystemExit):
        return not (error.code is None or (isinstance(error.code, int) and error.code == 0))
    return not isinstance(error, (*ABORTED, GeneratorExit, StopIteration, StopAsyncIteration))


def readable(span: RecordedSpan, resource: Resource, redactor: Redactor | None = None) -> ReadableSpan:
    """The SDK's form of an ended span, for exporters that are written for the SDK; masked and cut as in OTLP.

    redactor: without one the hashes of this span agree with no others.
    """
    # Late: the SDK reads its variables at import and fails on a wrong one, before our settings can say which it is.
    from opentelemetry.sdk.trace import Event as ReadableEvent
    from opentelemetry.sdk.trace import ReadableSpan

    redactor = redactor or Redactor()

    def masked(attributes: Attributes) -> dict[str, Any]:
        length = span.limits.value_length
        return {redactor.text(key): redactor.named(key, value, length) for key, value in (attributes or {}).items()}

    events = [
        ReadableEvent(redactor.text(event.name), masked(event.attributes), event.timestamp) for event in span.events
    ]
    links = tuple(Link(link.context, masked(link.attributes)) for link in span.links)
    status = span.status
    if status.description:
        status = Status(status.status_code, redactor.text(status.description))
    values: dict[str, Any] = {"attributes": masked(span.attributes), "events": events, "links": links}
    return ReadableSpan(
        name=redactor.text(span.name),
        context=span.context,
        parent=span.parent,
        resource=resource,
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
        **values,
    )
