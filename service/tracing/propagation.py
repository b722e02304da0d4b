"""W3C trace context, baggage and a correlation id, out of and into HTTP headers and Kafka headers.

Nothing here raises on what a peer sent: an absent or malformed context is simply no context, and a new trace begins.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Iterable, Mapping

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT = "traceparent"
CORRELATION_HEADER = "x-correlation-id"

KafkaHeader = tuple[str, str | bytes | None]

_PROPAGATED = frozenset({TRACEPARENT, "tracestate", "baggage", CORRELATION_HEADER})
_LONGEST_VALUE = 8192
# Goes into logs and headers as it came, so only harmless characters pass.
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}\Z")
_CORRELATION_KEY = otel_context.create_key("correlation-id")
_NOTHING: Context = Context()

_trace_context = TraceContextTextMapPropagator()
_baggage = W3CBaggagePropagator()
_logger = logging.getLogger(__name__)


def from_http(headers: Iterable[tuple[bytes, bytes]]) -> Context:
    """The caller's context out of raw ASGI headers.

    A header sent twice is combined with a comma (RFC 9110), which makes a doubled traceparent invalid, as W3C demands.
    """
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.decode("latin-1").lower()
        if key in _PROPAGATED:
            text = value.decode("latin-1")
            found[key] = f"{found[key]},{text}" if key in found else text
    return _extract(found)


def from_kafka(headers: Iterable[KafkaHeader] | None) -> Context:
    """The producer's context out of a message's headers; of a repeated header the last one counts, as in Kafka."""
    found: dict[str, str] = {}
    for name, value in headers or ():
        key = name.lower()
        if key in _PROPAGATED and value is not None:
            found[key] = value if isinstance(value, str) else value.decode("latin-1")
    return _extract(found)


def _extract(found: Mapping[str, str]) -> Context:
    if not found:
        return _NOTHING
    usable = {key: value for key, value in found.items() if value.isascii() and len(value) <= _LONGEST_VALUE}
    context = _NOTHING
    try:
        context = _trace_context.extract(usable, context)
        context = _baggage.extract(usable, context)
    except Exception:  # a peer's headers must never cost us the message
        _logger.debug("context of a peer ignored", exc_info=True)
    correlation = usable.get(CORRELATION_HEADER, "").strip()
    return with_correlation_id(context, correlation) if _CORRELATION_ID.match(correlation) else context


def inject(context: Context | None = None, *, trusted: bool = True) -> dict[str, str]:
    """Headers that carry `context` (the current one when None).

    trusted: False leaves out all but the trace's ids, for peers outside the system; baggage is not theirs to read.
    """
    headers: dict[str, str] = {}
    _trace_context.inject(headers, context)
    if trusted:
        _baggage.inject(headers, context)
        if correlation := correlation_id(context):
            headers[CORRELATION_HEADER] = correlation
    return headers


def to_kafka(headers: Iterable[KafkaHeader] | None, context: Context | None = None) -> list[KafkaHeader]:
    """`headers` with `context` added; an older context among them is replaced, never doubled."""
    kept: list[KafkaHeader] = [(name, value) for name, value in headers or () if name.lower() not in _PROPAGATED]
    kept.extend((name, value.encode("ascii", "ignore")) for name, value in inject(context).items())
    return kept


def correlation_id(context: Context | None = None) -> str | None:
    """The correlation id of `context` (the current one when None)."""
    value = otel_context.get_value(_CORRELATION_KEY, context)
    return value if isinstance(value, str) else None


def with_correlation_id(context: Context, value: str) -> Context:
    """`context` with this correlation id."""
    return otel_context.set_value(_CORRELATION_KEY, value, context)


def ensure_correlation_id(context: Context) -> Context:
    """`context` with a correlation id: its own, else its trace id (one id to search by), else a new one."""
    if correlation_id(context):
        return context
    return with_correlation_id(context, trace_id(context) or uuid.uuid4().hex)


def trace_id(context: Context | None = None) -> str | None:
    """32 hex digits of the trace in `context` (the current one when None), or None outside of any trace."""
    span_context = trace.get_current_span(context).get_span_context()
    return trace.format_trace_id(span_context.trace_id) if span_context.is_valid else None
