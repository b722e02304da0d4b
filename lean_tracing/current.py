"""Reads and writes OpenTelemetry's current context, and the span in it, with fewer calls than its API.

The tests compare the two.
"""

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span
from opentelemetry.trace.propagation import _SPAN_KEY

from lean_tracing.span import NativeSpan, RecordedSpan

SPAN_KEY: Final = _SPAN_KEY
_KNOWN: Final = frozenset({RecordedSpan, NativeSpan, NonRecordingSpan})
_runtime: Final = otel_context._RUNTIME_CONTEXT
get_current: Callable[[], Context] = _runtime.get_current
attach: Callable[[Context], Token[Context]] = _runtime.attach
_reset: Callable[[Token[Context]], None] = _runtime.detach
variable: ContextVar[Context] | None = None
if type(_runtime) is ContextVarsRuntimeContext:  # unless OTEL_PYTHON_CONTEXT names another
    variable = _runtime._current_context
    get_current, attach, _reset = variable.get, variable.set, variable.reset


def detach(token: Token[Context]) -> None:
    """Makes the context current again that was current before `attach`."""
    try:
        _reset(token)
    except Exception:
        otel_context.detach(token)  # logs why it is not possible, for example in another task


def current_span(context: Context | None = None) -> Span:
    """The span of `context` (the current one when None); one that is not valid if it has none."""
    span = (get_current() if context is None else context).get(SPAN_KEY, INVALID_SPAN)
    if type(span) in _KNOWN:
        return span  # type: ignore[return-value]
    return trace.get_current_span(context)  # checks the class of the span, which takes longer than all this


def with_span(span: Span, context: Context | None = None) -> Context:
    """`context` (the current one when None) with this span."""
    if context is None:
        context = get_current()
    return Context({**context, SPAN_KEY: span})
