"""A recorded span, at a tenth of the cost of the SDK's.

A span here is a few slots and one dictionary. While the request waits, the SDK checks types, copies into bounded
collections, takes locks and makes a read-only copy. Here the exporting thread checks attributes, when it redacts and
encodes them; the rest is not needed.
"""

import itertools
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns, time_ns
from types import TracebackType
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.util.types import Attributes, AttributeValue

from lean_tracing import attributes as keys
from lean_tracing.failures import is_failure, stack_of, text_of
from lean_tracing.redaction import OVERLAP, snapshot
from lean_tracing.shared_attributes import SharedAttributes

NO_STATE: Final = TraceState()
FLAGS: Final = tuple(TraceFlags(flags) for flags in range(256))
"""One object each instead of one a span. Bit 1: sampled; bit 2: the trace id is random, as in level 2 of W3C's
standard."""
UNSET: Final = Status(StatusCode.UNSET)
# Python 3.11 looks up the members of an enumeration in 70 ns each time.
CLIENT, CONSUMER, PRODUCER, SERVER = SpanKind.CLIENT, SpanKind.CONSUMER, SpanKind.PRODUCER, SpanKind.SERVER
_ALL: Final = sys.maxsize
_logger = logging.getLogger(__name__)


class Limits(NamedTuple):
    """How much a span shows. The rest is cut, or dropped and counted.

    Of a longer value a little more is kept until the export, which redacts it before it is cut.
    """

    attributes: int = 128
    events: int = 128
    value_length: int = 16_384
    links: int = 128
    event_attributes: int | None = None
    """Of each event; None takes `attributes`."""
    link_attributes: int | None = None
    """Of each link; None takes `attributes`."""


class Event(NamedTuple):
    """A moment in a span's life; `timestamp` in ns since 1970."""

    timestamp: int
    name: str
    attributes: Mapping[str, AttributeValue]
    dropped_attributes: int


class _BoundedLink(Link):
    """A link with a copy of its attributes, some of which may be dropped."""

    def __init__(self, context: SpanContext, attributes: Attributes, dropped: int) -> None:
        super().__init__(context, attributes)
        self._dropped = dropped

    @property
    def dropped_attributes(self) -> int:
        return self._dropped


class RecordedSpan(Span):
    """A span from its start to its export; read-only once it has ended.

    Its times are one reading of the wall clock plus the monotonic clock, so that setting the clock meanwhile changes no
    duration. Its children use the same reading, so that their times lie within its own.
    """

    __slots__ = (
        "_clock",
        "_on_end",
        "_room",
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
        "own_attributes",
        "parent",
        "shared_attributes",
        "start_time",
        "status",
    )

    # Set on the few spans for which the caller wants something else.
    records_exception = True
    sets_status_on_exception = True

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
        on_end: "Callable[[RecordedSpan], None]",
        clock: int | None = None,
    ) -> None:
        """Starts the span.

        Args:
            name: of the operation.
            context: the span's own ids.
            parent: ids of the parent; None at the root of a trace.
            kind: as in OpenTelemetry.
            attributes: those that are known at the start.
            links: to other spans.
            scope: the library that makes the span.
            limits: what is kept of it.
            start_time: in ns since 1970; None takes now.
            on_end: gets the span at its end, in the thread that ends it.
            clock: wall clock minus monotonic clock, in ns; None reads both.
        """
        self.name = name
        self.context = context
        self.parent = parent
        self.kind = kind
        self.links: Sequence[Link] = ()
        self.dropped_links = 0
        if links:
            useful = [link for link in links if _is_useful(link)]
            self.links = tuple(_bound_link(link, limits) for link in useful[: limits.links])
            self.dropped_links = len(useful) - len(self.links)
        self.events: Sequence[Event] = ()
        self.status = UNSET
        self.instrumentation_scope = scope
        self.dropped_attributes = 0
        self.dropped_events = 0
        self.end_time: int | None = None
        self.limits = limits
        self._on_end = on_end
        self.own_attributes: dict[str, AttributeValue] = {}
        self.shared_attributes: SharedAttributes | None = None
        self._room = limits.attributes
        if attributes is not None:
            if type(attributes) is SharedAttributes and attributes.fit(limits.attributes, limits.value_length):
                self.shared_attributes = attributes
                self._room -= len(attributes)
            else:
                self.set_attributes(attributes)
        if clock is None:
            wall = time_ns()
            self._clock = wall - perf_counter_ns()
        else:
            self._clock = clock
            wall = clock + perf_counter_ns()
        self.start_time = wall if start_time is None else _nanoseconds(start_time, wall)

    def get_span_context(self) -> SpanContext:
        return self.context

    def is_recording(self) -> bool:
        """Whether the span has not ended."""
        return self.end_time is None

    @property
    def attributes(self) -> Mapping[str, AttributeValue]:
        """All attributes; of values that are longer than the limit, a little more than it."""
        shared = self.shared_attributes
        return self.own_attributes if shared is None else {**shared, **self.own_attributes}

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        if self.end_time is not None:
            _logger.warning("attribute %s is too late, span %s has ended", key, self.name)
            return
        kind = type(value)
        if kind is str:
            if len(value) > self.limits.value_length:  # type: ignore[arg-type]
                value = value[: self.limits.value_length + OVERLAP + 1]  # type: ignore[index]
        elif kind is not int and kind is not bool and kind is not float:
            value = snapshot(value, self.limits.value_length)  # type: ignore[assignment]
        attributes = self.own_attributes
        try:
            if self.shared_attributes is not None and key in self.shared_attributes:
                attributes = self._unshare()
            if len(attributes) < self._room or key in attributes:
                attributes[key] = value
                return
        except TypeError:  # the key is neither text nor anything else that a dictionary accepts
            pass
        self.dropped_attributes += 1

    def _unshare(self) -> dict[str, AttributeValue]:
        """The span's own attributes, which take in those that it shared; one of them gets another value."""
        self.own_attributes = {**self.attributes}
        self.shared_attributes = None
        self._room = self.limits.attributes
        return self.own_attributes

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        try:
            if type(attributes) is dict and self._set_at_once(attributes):
                return
            for key, value in attributes.items():
                self.set_attribute(key, value)
        except Exception:  # another thread has changed the mapping meanwhile, or its own methods raise
            items, dropped = _items(attributes, _ALL)
            for key, value in items:
                self.set_attribute(key, value)
            if self.end_time is None:
                self.dropped_attributes += dropped

    def _set_at_once(self, attributes: dict[str, AttributeValue]) -> bool:
        """Sets attributes of simple types in one step, if there is room for all; else sets none, and returns False."""
        copied = attributes.copy()  # checked after that, because another thread may change the original
        own, shared = self.own_attributes, self.shared_attributes
        if (
            self.end_time is not None
            or len(own) + len(copied) > self._room
            or (shared is not None and not shared.keys().isdisjoint(copied))
        ):
            return False
        longest = self.limits.value_length
        for value in copied.values():
            kind = type(value)
            if not (kind is int or (kind is str and len(value) <= longest) or kind is bool or kind is float):  # type: ignore[arg-type]
                return False
        if own:
            own.update(copied)
        else:
            self.own_attributes = copied
        return True

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        if self.end_time is not None:
            _logger.warning("event %s is too late, span %s has ended", name, self.name)
            return
        if len(self.events) >= self.limits.events:
            self.dropped_events += 1
            return
        bounded, dropped = _bounded(attributes, self.limits, self.limits.event_attributes)
        # A start time that the caller set may come from a clock that is ahead.
        now = max(self.start_time, self._clock + perf_counter_ns())
        timestamp = now if timestamp is None else _nanoseconds(timestamp, now)
        self.events = (*self.events, Event(timestamp, name, bounded, dropped))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        if self.end_time is not None:
            _logger.warning("link is too late, span %s has ended", self.name)
        elif _is_useful(link := Link(context, attributes)):
            if len(self.links) >= self.limits.links:
                self.dropped_links += 1
            else:
                self.links = (*self.links, _bound_link(link, self.limits))

    def update_name(self, name: str) -> None:
        if self.end_time is not None:
            _logger.warning("name %s is too late, span %s has ended", name, self.name)
            return
        self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status, unless it is OK, which is final; UNSET changes nothing."""
        if self.end_time is not None or self.status.status_code is StatusCode.OK:
            return
        if isinstance(status, StatusCode):
            status = Status(status, description)
        if isinstance(status, Status) and status.status_code is not StatusCode.UNSET:
            self.status = status

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: ARG002 - deprecated by the conventions
    ) -> None:
        """Record the exception as an event; the encoder redacts its text."""
        self.add_event(
            "exception",
            {
                keys.EXCEPTION_TYPE: f"{type(exception).__module__}.{type(exception).__qualname__}",
                keys.EXCEPTION_MESSAGE: text_of(exception),
                keys.EXCEPTION_STACKTRACE: stack_of(exception),
                **dict(_items(attributes, _ALL)[0]),
            },
            timestamp,
        )

    def failed(self, error: BaseException) -> None:
        """Record the exception that ends the span's block, if it is a failure."""
        if self.end_time is not None or not is_failure(error):
            return
        if self.records_exception:
            self.record_exception(error)
        if self.sets_status_on_exception:
            self.set_status(StatusCode.ERROR, f"{type(error).__name__}: {text_of(error)}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """End the span at the end of its block, as that of the SDK does."""
        if error is not None:
            self.failed(error)
        self.end()

    def end(self, end_time: int | None = None) -> None:
        if self.end_time is not None:
            _logger.warning("span %s has ended before", self.name)
            return
        now = self._clock + perf_counter_ns()
        end_time = now if end_time is None else _nanoseconds(end_time, now)
        # The start or the end may come from a clock that is ahead or was set back.
        self.end_time = end_time if end_time > self.start_time else self.start_time
        self._on_end(self)


class NativeSpan(RecordedSpan):
    """The same span with methods of the native part, which sets them when it is loaded."""

    __slots__ = ()


def _items(attributes: Attributes, limit: int) -> tuple[list[tuple[str, AttributeValue]], int]:
    """The first attributes, and how many are dropped; one, if they cannot be read."""
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
    except TypeError:  # a dictionary does not accept one of the keys
        return {}, dropped + len(items)
    return bounded, dropped


def _is_useful(link: object) -> bool:
    """Whether a link names a span, or at least says something about one, as the specification demands."""
    if not isinstance(link, Link) or not isinstance(context := link.context, SpanContext):
        return False
    return context.is_valid or bool(context.trace_state) or bool(_items(link.attributes, 1)[0])


def _bound_link(link: Link, limits: Limits) -> Link:
    if link.attributes is None:
        return link
    bounded, dropped = _bounded(link.attributes, limits, limits.link_attributes)
    return _BoundedLink(link.context, bounded, dropped + link.dropped_attributes)


def _nanoseconds(value: object, otherwise: int) -> int:
    """A time that the caller gave, often as a float; `otherwise` if OTLP cannot hold it."""
    try:
        nanoseconds = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return otherwise
    return nanoseconds if 0 <= nanoseconds < 1 << 64 else otherwise
