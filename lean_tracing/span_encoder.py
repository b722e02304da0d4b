"""Encodes ended spans as OTLP."""

import struct
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Status, TraceState

from lean_tracing.encoding import MAX_CACHED, MAX_CACHED_LENGTH, Encoder, halve
from lean_tracing.recent_cache import RecentCache
from lean_tracing.redaction import Redactor
from lean_tracing.span import NO_STATE, UNSET, Event, Limits, RecordedSpan
from lean_tracing.wire import FIXED32, FIXED64, LENGTHS, sized, text, varint

W3C_FLAGS: Final = 0xFF
"""The lower eight bits of OTLP's flags are W3C's trace flags."""
_SPAN_ATTRIBUTES: Final = b"\x4a"
_EVENT_ATTRIBUTES: Final = b"\x1a"
_LINK_ATTRIBUTES: Final = b"\x22"
# Several fields at once, each after its tag (and length).
_IDS: Final = struct.Struct(">HQQHQ").pack
_TRACE_ID, _SPAN_ID = 0x0A10, 0x1208
_PARENT: Final = struct.Struct(">HQ").pack
_PARENT_ID: Final = 0x2208
_KIND_AND_TIMES: Final = struct.Struct("<BBBQBQ").pack
_KIND, _START, _END = 0x30, 0x39, 0x41
_LOW_64_BITS: Final = (1 << 64) - 1
# Present and empty, as the SDK's encoder writes it, so that the tests can compare the two.
_NO_STATUS: Final = b"\x7a\x00"
# Of the parent, or of the linked span: whether it is in another process is known, and it is.
_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200


class SpanEncoder(Encoder):
    """Makes an ExportTraceServiceRequest of ended spans."""

    _tag = _SPAN_ATTRIBUTES

    def __init__(
        self,
        resource: Resource,
        redactor: Redactor,
        dropped: Sequence[str] = (),
        value_length: int = Limits().value_length,
        native: ModuleType | None = None,
    ) -> None:
        super().__init__(resource, redactor, dropped, value_length, native)
        self._names = RecentCache(MAX_CACHED)
        self._event_attributes = self._with_tag(_EVENT_ATTRIBUTES)
        self._link_attributes = self._with_tag(_LINK_ATTRIBUTES)
        self._writer: Any = None
        if native is not None:
            self._writer = native.Writer(self, self._attributes, self._attributes.native)
            self.item = self._writer.item  # type: ignore[method-assign]

    def item(self, item: RecordedSpan) -> tuple[InstrumentationScope | None, bytes]:
        return self.in_python(item)

    def hand_over_to(self, put: Callable[[RecordedSpan], None]) -> Callable[[RecordedSpan], None]:
        """What a span calls at its end, so that it gets into the queue of `put`.

        The native part encodes a common span there and then, in a third of a microsecond: its objects are still in the
        processor's cache, and their memory is used again at once. All that Python encodes waits for the exporting
        thread.
        """
        return put if self._writer is None else self._writer.hand_over_to(put)

    def in_python(self, item: RecordedSpan) -> tuple[InstrumentationScope | None, bytes]:
        """The twin of the native part, which calls it for spans that are not common."""
        return item.instrumentation_scope, sized(b"\x12", self._span(item))

    def split(self, payload: bytes) -> tuple[bytes, bytes]:
        # Imported late: it takes memory, and a request is rarely split.
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        return halve(
            ExportTraceServiceRequest,
            payload,
            lambda request: [scope.spans for part in request.resource_spans for scope in part.scope_spans],
        )

    def _span(self, span: RecordedSpan) -> bytes:
        # Taken apart at once: each property of a context is a call.
        trace_id, span_id, _, trace_flags, state, _ = span.context
        flags = (trace_flags & W3C_FLAGS) | _HAS_IS_REMOTE
        parts = [_ids(trace_id, span_id)]
        if state is not NO_STATE:
            parts.append(self._state(state))
        if span.parent is not None:
            _, parent_id, is_remote, _, _, _ = span.parent
            if parent_id:
                parts.append(_PARENT(_PARENT_ID, parent_id))
            if is_remote:
                flags |= _IS_REMOTE
        parts += (
            self._name(span.name),
            # OTLP counts the kinds from UNSPECIFIED.
            _KIND_AND_TIMES(_KIND, span.kind._value_ + 1, _START, span.start_time, _END, span.end_time or 0),
        )
        if span.shared_attributes is not None:
            parts.append(self._attributes.encode_shared(span.shared_attributes))
        if span.own_attributes:
            parts.append(self._attributes.encode(span.own_attributes))
        if span.dropped_attributes:
            parts.append(b"\x50" + varint(span.dropped_attributes))
        for event in span.events:
            parts.append(sized(b"\x5a", self._event(event)))
        if span.dropped_events:
            parts.append(b"\x60" + varint(span.dropped_events))
        for link in span.links:
            parts.append(sized(b"\x6a", self._link(link)))
        if span.dropped_links:
            parts.append(b"\x70" + varint(span.dropped_links))
        parts.append(_NO_STATUS if span.status is UNSET else self._status(span.status))
        parts.append(b"\x85\x01" + FIXED32(flags))
        return b"".join(parts)

    def _name(self, name: str) -> bytes:
        encoded = self._names.get(name) if type(name) is str else None
        if encoded is None:
            redacted = self._redactor.text(name)
            encoded = text(b"\x2a", redacted)
            if redacted == name and len(name) <= MAX_CACHED_LENGTH:
                self._names.put(name, encoded)
        return encoded

    def _state(self, state: TraceState) -> bytes:
        return text(b"\x1a", state.to_header()) if state else b""

    def _status(self, status: Status) -> bytes:
        message = text(b"\x12", self._redactor.text(status.description)) if status.description else b""
        return sized(b"\x7a", message + b"\x18" + LENGTHS[status.status_code.value])

    def _event(self, event: Event) -> bytes:
        name = text(b"\x12", self._redactor.text(event.name))
        dropped = b"\x20" + varint(event.dropped_attributes) if event.dropped_attributes else b""
        attributes = self._event_attributes.encode(event.attributes)
        return b"\x09" + FIXED64(event.timestamp) + name + attributes + dropped

    def _link(self, link: Link) -> bytes:
        trace_id, span_id, is_remote, trace_flags, state, _ = link.context
        flags = (trace_flags & W3C_FLAGS) | _HAS_IS_REMOTE | (_IS_REMOTE if is_remote else 0)
        encoded = _ids(trace_id, span_id) + b"\x35" + FIXED32(flags)
        if state:
            encoded += text(b"\x1a", state.to_header())
        if link.attributes is not None:  # the link of a consumer has none
            dropped = b"\x28" + varint(link.dropped_attributes) if link.dropped_attributes else b""
            encoded += self._link_attributes.encode(link.attributes) + dropped
        return encoded


def _ids(trace_id: int, span_id: int) -> bytes:
    return _IDS(_TRACE_ID, trace_id >> 64, trace_id & _LOW_64_BITS, _SPAN_ID, span_id)
