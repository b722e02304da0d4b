"""Reads and writes the span of OpenTelemetry's context with fewer calls than its API; the tests compare the two."""

from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span
from opentelemetry.trace.propagation import _SPAN_KEY

from lean_tracing.span import RecordedSpan

SPAN_KEY: Final = _SPAN_KEY
_KNOWN: Final = frozenset({RecordedSpan, NonRecordingSpan})


def current_span(context: Context | None = None) -> Span:
    """The span of `context` (the current one when None); one that is not valid if it has none."""
    span = (otel_context.get_current() if context is None else context).get(SPAN_KEY, INVALID_SPAN)
    if type(span) in _KNOWN:
        return span  # type: ignore[return-value]
    return trace.get_current_span(context)  # checks the class of the span, which takes longer than all this


def with_span(span: Span, context: Context | None = None) -> Context:
    """`context` (the current one when None) with this span."""
    if context is None:
        context = otel_context.get_current()
    return Context({**context, SPAN_KEY: span})
