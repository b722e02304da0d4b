"""Encodes ended spans as OTLP."""

import functools
import struct
from typing import Final

from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext

from lean_tracing.encoding import MAX_CACHED, MAX_CACHED_LENGTH, AttributeEncoder, Encoder, halve
from lean_tracing.recent_cache import RecentCache
from lean_tracing.span import UNSET, Event, RecordedSpan
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
# Whether the parent is in another process is known, and it is.
_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200


class SpanEncoder(Encoder[RecordedSpan]):
    """Makes an ExportTraceServiceRequest of ended spans."""

    _tag = _SPAN_ATTRIBUTES

    @functools.cached_property
    def _names(self) -> RecentCache[str, bytes]:
        return RecentCache(MAX_CACHED)

    @functools.cached_property
    def _event_attributes(self) -> AttributeEncoder:
        return self._with_tag(_EVENT_ATTRIBUTES)

    @functools.cached_property
    def _link_attributes(self) -> AttributeEncoder:
        return self._with_tag(_LINK_ATTRIBUTES)

    def item(self, item: RecordedSpan) -> tuple[InstrumentationScope | None, bytes]:
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
        context, parent, status = span.context, span.parent, span.status
        parts = [_ids(context)]
        if state := context.trace_state:
            parts.append(text(b"\x1a", state.to_header()))
        if parent is not None and parent.span_id:
            parts.append(_PARENT(_PARENT_ID, parent.span_id))
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
        if status is UNSET:
            parts.append(_NO_STATUS)
        else:
            message = text(b"\x12", self._redactor.text(status.description)) if status.description else b""
            parts.append(sized(b"\x7a", message + b"\x18" + LENGTHS[status.status_code.value]))
        parts.append(b"\x85\x01" + FIXED32(_flags(context, parent)))
        return b"".join(parts)

    def _name(self, name: str) -> bytes:
        encoded = self._names.get(name) if type(name) is str else None
        if encoded is None:
            redacted = self._redactor.text(name)
            encoded = text(b"\x2a", redacted)
            if redacted == name and len(name) <= MAX_CACHED_LENGTH:
                self._names.put(name, encoded)
        return encoded

    def _event(self, event: Event) -> bytes:
        name = text(b"\x12", self._redactor.text(event.name))
        dropped = b"\x20" + varint(event.dropped_attributes) if event.dropped_attributes else b""
        attributes = self._event_attributes.encode(event.attributes)
        return b"\x09" + FIXED64(event.timestamp) + name + attributes + dropped

    def _link(self, link: Link) -> bytes:
        context = link.context
        encoded = _ids(context) + b"\x35" + FIXED32(_flags(context, context))
        if context.trace_state:
            encoded += text(b"\x1a", context.trace_state.to_header())
        if link.attributes is not None:  # the link of a consumer has none
            dropped = b"\x28" + varint(link.dropped_attributes) if link.dropped_attributes else b""
            encoded += self._link_attributes.encode(link.attributes) + dropped
        return encoded


def _ids(context: SpanContext) -> bytes:
    trace_id = context.trace_id
    return _IDS(_TRACE_ID, trace_id >> 64, trace_id & _LOW_64_BITS, _SPAN_ID, context.span_id)


def _flags(context: SpanContext, other: SpanContext | None) -> int:
    """The flags of `context`, and whether `other` (the parent, or the linked span) is in another process."""
    remote = _IS_REMOTE if other is not None and other.is_remote else 0
    return (context.trace_flags & W3C_FLAGS) | _HAS_IS_REMOTE | remote
