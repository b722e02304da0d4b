"""Spans and log records → the bytes of an OTLP export request, masked and filtered on the way.

Written straight in protobuf's wire format: building the generated classes first costs three to ten times as much, and
encoding is most of what a span costs. `opentelemetry-proto` reads the result back in the tests. The comments name the
fields of opentelemetry/proto/{common,trace,logs}/v1.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, StatusCode

from service.tracing.redaction import Redactor
from service.tracing.span import Event, Limits, RecordedSpan

if TYPE_CHECKING:
    from google.protobuf.message import Message

Item = TypeVar("Item")

_CACHED_ATTRIBUTES: Final = 4096
_LONGEST_CACHED: Final = 128
_LOG_ATTRIBUTES: Final = b"\x32"
_SPAN_ATTRIBUTES: Final = b"\x4a"
_EVENT_ATTRIBUTES: Final = b"\x1a"
_LINK_ATTRIBUTES: Final = b"\x22"
_RESOURCE_ATTRIBUTES: Final = b"\x0a"
# The lower eight bits are W3C's trace flags.
_W3C_FLAGS: Final = 0xFF
# Whether the parent is in another process is known, and it is.
_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200
_FIXED64 = struct.Struct("<Q").pack
_FIXED32 = struct.Struct("<I").pack
_DOUBLE = struct.Struct("<d").pack


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """A log record as OTLP has it. Times in ns since 1970, `severity` from 1 (trace) to 24 (fatal), ids 0 if none."""

    time_ns: int
    severity: int
    severity_text: str
    body: str
    attributes: Mapping[str, object]
    trace_id: int
    span_id: int
    trace_flags: int
    dropped_attributes: int = 0


def _varint(number: int) -> bytes:
    """Protobuf's variable-length integer; negative ones as 64 bits of two's complement."""
    if number < 0:
        number += 1 << 64
    if number < 128:
        return bytes((number,))
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


_LENGTHS = tuple(_varint(length) for length in range(16_384))


def _sized(tag: bytes, body: bytes) -> bytes:
    """A length-delimited field: text, bytes or a message."""
    length = len(body)
    return tag + (_LENGTHS[length] if length < 16_384 else _varint(length)) + body


def _text(tag: bytes, value: str) -> bytes:
    return _sized(tag, value.encode("utf-8", "replace"))


def _any_value(value: object) -> bytes:
    """An AnyValue; what `Redactor.named` returns, nested lists and dicts included."""
    if isinstance(value, str):
        return _text(b"\x0a", value)  # string_value
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"  # bool_value
    if isinstance(value, int):
        return b"\x18" + _varint(value)  # int_value
    if isinstance(value, float):
        return b"\x21" + _DOUBLE(value)  # double_value
    if isinstance(value, Mapping):
        pairs = (_sized(b"\x0a", _key_value(str(key), item)) for key, item in value.items())
        return _sized(b"\x32", b"".join(pairs))  # kvlist_value.values
    if isinstance(value, (list, tuple)):
        return _sized(b"\x2a", b"".join(_sized(b"\x0a", _any_value(item)) for item in value))  # array_value.values
    return b""  # an absent value


def _key_value(key: str, value: object) -> bytes:
    return _text(b"\x0a", key) + _sized(b"\x12", _any_value(value))


class _Filter:
    """Attribute keys that are never exported; a `*` at the end of one stands for any rest."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._whole = frozenset(key for key in keys if not key.endswith("*"))
        self._begins = tuple(key[:-1] for key in keys if key.endswith("*"))

    def drops(self, key: str) -> bool:
        return key in self._whole or (bool(self._begins) and key.startswith(self._begins))


class _Attributes:
    """Encodes attributes, and remembers those that come again and again and hold nothing to mask."""

    def __init__(self, tag: bytes, redactor: Redactor, dropped: _Filter, length: int | None = None) -> None:
        """length: characters of each text in a value, at most; of what is masked, not of what is to be masked."""
        self._tag = tag
        self._redactor = redactor
        self._dropped = dropped
        self._length = length
        self._known: dict[tuple[str, type, object], bytes] = {}

    def encode(self, attributes: Mapping[str, object] | None) -> bytes:
        if not attributes:
            return b""
        return b"".join([self._one(key, value) for key, value in attributes.items()])

    def _one(self, key: str, value: object) -> bytes:
        kind = type(value)  # part of what is known: True equals 1, and 1 equals 1.0
        simple = kind is str or kind is int or kind is bool
        if simple and (found := self._known.get((key, kind, value))) is not None:
            return found
        if self._dropped.drops(key):
            return b""
        masked = self._redactor.named(key, value, self._length)
        encoded = _sized(self._tag, _key_value(self._redactor.text(key), masked))
        # A cache of what was masked would be one more place that holds it in clear.
        if simple and masked == value and (kind is not str or len(str(value)) <= _LONGEST_CACHED):
            if len(self._known) >= _CACHED_ATTRIBUTES:
                self._known.clear()
            self._known[key, kind, value] = encoded
        return encoded


# At most that many bytes for the tag and the length of each message around the items.
_FRAME: Final = 16
_LOG_SCOPE: Final = InstrumentationScope("service.tracing.logs")


class Request:
    """An export request that is being filled. `size` is at least that of its bytes, and hardly more."""

    __slots__ = ("_last", "_last_items", "_resource", "_scopes", "items", "size")

    def __init__(self, resource: bytes) -> None:
        """resource: encoded, with its tag."""
        self._resource = resource
        self._scopes: dict[tuple[str, str], list[bytes]] = {}
        self._last: object = self  # the scope of the item before; usually that of all of them
        self._last_items: list[bytes] = []
        self.items = 0
        self.size = len(resource) + _FRAME

    def add(self, scope: InstrumentationScope | None, item: bytes) -> None:
        """item: encoded, with its tag."""
        if scope is not self._last:
            self._last, self._last_items = scope, self._of(scope)
        self._last_items.append(item)
        self.items += 1
        self.size += len(item)

    def _of(self, scope: InstrumentationScope | None) -> list[bytes]:
        key = name, version = (scope.name, scope.version or "") if scope is not None else ("", "")
        if key not in self._scopes:
            header = _sized(b"\x0a", _text(b"\x0a", name) + (_text(b"\x12", version) if version else b""))
            self._scopes[key] = [header]
            self.size += len(header) + _FRAME
        return self._scopes[key]

    def encode(self) -> bytes:
        """Export{Trace,Logs}ServiceRequest; the two have the same numbers."""
        scopes = [_sized(b"\x12", b"".join(items)) for items in self._scopes.values()]
        return _sized(b"\x0a", b"".join((self._resource, *scopes)))


class _Encoder(Generic[Item]):
    """What the encoders of both signals have in common: all items are of one resource."""

    _tag: bytes
    """Of the attributes of an item."""

    def __init__(
        self,
        resource: Resource,
        redactor: Redactor,
        dropped: Sequence[str] = (),
        value_length: int = Limits().value_length,
    ) -> None:
        """dropped: keys of attributes that are never exported, see `TracingSettings.filtered_attributes`.

        value_length: that of the spans' `Limits`. As the specification has it, the resource has no such limit.
        """
        self._redactor = redactor
        self._filter = _Filter(dropped)
        self._value_length = value_length
        self._attributes = self._with_tag(self._tag)
        self.describe(resource)

    def _with_tag(self, tag: bytes) -> _Attributes:
        return _Attributes(tag, self._redactor, self._filter, self._value_length)

    def describe(self, resource: Resource) -> None:
        """From now on, of this resource."""
        attributes = _Attributes(_RESOURCE_ATTRIBUTES, self._redactor, self._filter)
        self._resource = _sized(b"\x0a", attributes.encode(resource.attributes))

    def begin(self) -> Request:
        """A request with no items yet."""
        return Request(self._resource)

    def item(self, item: Item) -> tuple[InstrumentationScope | None, bytes]:
        """What `Request.add` takes. Raises whatever a value that cannot be encoded raises."""
        raise NotImplementedError

    def split(self, payload: bytes) -> tuple[bytes, bytes]:
        """The first and the second half of an encoded request's items, each as a request."""
        raise NotImplementedError

    def __call__(self, items: Iterable[Item]) -> bytes:
        """One request of all items, however large."""
        request = self.begin()
        for item in items:
            request.add(*self.item(item))
        return request.encode()


def _halves(kind: type[Message], payload: bytes, lists: Callable[[Any], Iterable[Any]]) -> tuple[bytes, bytes]:
    """The first and the second half of a request's items; `lists` finds the lists of items in a parsed request."""
    first, second = kind.FromString(payload), kind.FromString(payload)
    left = sum(map(len, lists(first))) // 2
    for head, tail in zip(lists(first), lists(second), strict=True):
        kept = min(left, len(head))
        del head[kept:], tail[:kept]
        left -= kept
    return first.SerializeToString(), second.SerializeToString()


class SpanEncoder(_Encoder[RecordedSpan]):
    """ExportTraceServiceRequest out of ended spans, all of one resource."""

    _tag = _SPAN_ATTRIBUTES

    @functools.cached_property
    def _event_attributes(self) -> _Attributes:
        return self._with_tag(_EVENT_ATTRIBUTES)

    @functools.cached_property
    def _link_attributes(self) -> _Attributes:
        return self._with_tag(_LINK_ATTRIBUTES)

    def item(self, item: RecordedSpan) -> tuple[InstrumentationScope | None, bytes]:
        """See `_Encoder`."""
        return item.instrumentation_scope, _sized(b"\x12", self._span(item))

    def split(self, payload: bytes) -> tuple[bytes, bytes]:
        """See `_Encoder`."""
        # Late: it costs memory, and a request is hardly ever split.
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        return _halves(
            ExportTraceServiceRequest,
            payload,
            lambda request: [scope.spans for part in request.resource_spans for scope in part.scope_spans],
        )

    def _span(self, span: RecordedSpan) -> bytes:
        context, parent, status = span.context, span.parent, span.status
        parts = [_ids(context)]
        if context.trace_state:
            parts.append(_text(b"\x1a", context.trace_state.to_header()))
        if parent is not None and parent.span_id:
            parts.append(b"\x22\x08" + parent.span_id.to_bytes(8, "big"))
        parts += (
            _text(b"\x2a", self._redactor.text(span.name)),
            b"\x30" + _LENGTHS[span.kind.value + 1],  # OTLP counts from UNSPECIFIED
            b"\x39" + _FIXED64(span.start_time or 0),
            b"\x41" + _FIXED64(span.end_time or 0),
            self._attributes.encode(span.attributes),
        )
        if span.dropped_attributes:
            parts.append(b"\x50" + _varint(span.dropped_attributes))
        for event in span.events:
            parts.append(_sized(b"\x5a", self._event(event)))
        if span.dropped_events:
            parts.append(b"\x60" + _varint(span.dropped_events))
        for link in span.links:
            parts.append(_sized(b"\x6a", self._link(link)))
        if span.dropped_links:
            parts.append(b"\x70" + _varint(span.dropped_links))
        if status.status_code is not StatusCode.UNSET:
            message = _text(b"\x12", self._redactor.text(status.description)) if status.description else b""
            parts.append(_sized(b"\x7a", message + b"\x18" + _LENGTHS[status.status_code.value]))
        else:
            parts.append(b"\x7a\x00")  # as the stock encoder, so that the two can be held against each other
        parts.append(b"\x85\x01" + _FIXED32(_flags(context, parent)))
        return b"".join(parts)

    def _event(self, event: Event) -> bytes:
        name = _text(b"\x12", self._redactor.text(event.name))
        dropped = b"\x20" + _varint(event.dropped_attributes) if event.dropped_attributes else b""
        attributes = self._event_attributes.encode(event.attributes)
        return b"\x09" + _FIXED64(event.timestamp) + name + attributes + dropped

    def _link(self, link: Link) -> bytes:
        state = _text(b"\x1a", link.context.trace_state.to_header()) if link.context.trace_state else b""
        dropped = b"\x28" + _varint(link.dropped_attributes) if link.dropped_attributes else b""
        attributes = self._link_attributes.encode(link.attributes)
        flags = _FIXED32(_flags(link.context, link.context))
        return _ids(link.context) + state + attributes + dropped + b"\x35" + flags


class LogEncoder(_Encoder[LogEntry]):
    """ExportLogsServiceRequest out of log entries, all of one resource."""

    _tag = _LOG_ATTRIBUTES

    def item(self, item: LogEntry) -> tuple[InstrumentationScope | None, bytes]:
        """See `_Encoder`."""
        return _LOG_SCOPE, _sized(b"\x12", self._entry(item))

    def split(self, payload: bytes) -> tuple[bytes, bytes]:
        """See `_Encoder`."""
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

        return _halves(
            ExportLogsServiceRequest,
            payload,
            lambda request: [scope.log_records for part in request.resource_logs for scope in part.scope_logs],
        )

    def _entry(self, entry: LogEntry) -> bytes:
        time = _FIXED64(entry.time_ns)
        parts = [
            b"\x09" + time,
            b"\x10" + _varint(entry.severity),
            _text(b"\x1a", entry.severity_text),
            _sized(b"\x2a", _any_value(self._redactor.text(entry.body))),
            self._attributes.encode(entry.attributes),
        ]
        if entry.dropped_attributes:
            parts.append(b"\x38" + _varint(entry.dropped_attributes))
        if entry.trace_id:
            parts += (
                b"\x45" + _FIXED32(entry.trace_flags & _W3C_FLAGS),
                b"\x4a\x10" + entry.trace_id.to_bytes(16, "big"),
                b"\x52\x08" + entry.span_id.to_bytes(8, "big"),
            )
        parts.append(b"\x59" + time)  # observed when it was written
        return b"".join(parts)


def _ids(context: SpanContext) -> bytes:
    return b"\x0a\x10" + context.trace_id.to_bytes(16, "big") + b"\x12\x08" + context.span_id.to_bytes(8, "big")


def _flags(context: SpanContext, other: SpanContext | None) -> int:
    """The flags of `context`; whether `other`, the parent or the linked span, is in another process."""
    remote = _IS_REMOTE if other is not None and other.is_remote else 0
    return (context.trace_flags & _W3C_FLAGS) | _HAS_IS_REMOTE | remote
