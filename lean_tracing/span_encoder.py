"""Encodes ended spans as OTLP."""

import functools
from typing import Final

from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, StatusCode

from lean_tracing.encoding import AttributeEncoder, Encoder, halve
from lean_tracing.span import Event, RecordedSpan
from lean_tracing.wire import FIXED32, FIXED64, LENGTHS, sized, text, varint

W3C_FLAGS: Final = 0xFF
"""The lower eight bits of OTLP's flags are W3C's trace flags."""
_SPAN_ATTRIBUTES: Final = b"\x4a"
_EVENT_ATTRIBUTES: Final = b"\x1a"
_LINK_ATTRIBUTES: Final = b"\x22"
# Whether the parent is in another process is known, and it is.
_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200


class SpanEncoder(Encoder[RecordedSpan]):
    """Makes an ExportTraceServiceRequest of ended spans."""

    _tag = _SPAN_ATTRIBUTES

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
        if context.trace_state:
            parts.append(text(b"\x1a", context.trace_state.to_header()))
        if parent is not None and parent.span_id:
            parts.append(b"\x22\x08" + parent.span_id.to_bytes(8, "big"))
        parts += (
            text(b"\x2a", self._redactor.text(span.name)),
            b"\x30" + LENGTHS[span.kind.value + 1],  # OTLP counts from UNSPECIFIED
            b"\x39" + FIXED64(span.start_time or 0),
            b"\x41" + FIXED64(span.end_time or 0),
            self._attributes.encode(span.attributes),
        )
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
        if status.status_code is not StatusCode.UNSET:
            message = text(b"\x12", self._redactor.text(status.description)) if status.description else b""
            parts.append(sized(b"\x7a", message + b"\x18" + LENGTHS[status.status_code.value]))
        else:
            parts.append(b"\x7a\x00")  # as the SDK's encoder, so that the tests can compare the two
        parts.append(b"\x85\x01" + FIXED32(_flags(context, parent)))
        return b"".join(parts)

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
    return b"\x0a\x10" + context.trace_id.to_bytes(16, "big") + b"\x12\x08" + context.span_id.to_bytes(8, "big")


def _flags(context: SpanContext, other: SpanContext | None) -> int:
    """The flags of `context`, and whether `other` (the parent, or the linked span) is in another process."""
    remote = _IS_REMOTE if other is not None and other.is_remote else 0
    return (context.trace_flags & W3C_FLAGS) | _HAS_IS_REMOTE | remote
