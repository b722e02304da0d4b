"""The trace manager: the one place where spans of business operations begin and end."""

from __future__ import annotations

import asyncio
import functools
import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Token
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import Attributes

from service.tracing import attributes as keys
from service.tracing.masking import Masker

P = ParamSpec("P")
R = TypeVar("R")

_SUPPRESSED = otel_context.create_key("tracing-suppressed")


class SpanScope:
    """A span that is current inside a `with` or `async with` block, and ends with it."""

    __slots__ = ("_context", "_manager", "_span", "_token")

    def __init__(self, manager: TraceManager, span: Span, context: Context | None) -> None:
        self._manager = manager
        self._span = span
        self._context = context
        self._token: Token[Context] | None = None

    def __enter__(self) -> Span:
        self._token = otel_context.attach(trace.set_span_in_context(self._span, self._context))
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._token is not None:
            otel_context.detach(self._token)
        if error is not None:
            self._manager.fail(self._span, error)
        self._span.end()

    async def __aenter__(self) -> Span:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, where)


class TraceManager:
    """Makes spans. With a no-op tracer it makes none, and still carries contexts on."""

    def __init__(self, tracer: Tracer, masker: Masker) -> None:
        self._tracer = tracer
        self.masker = masker

    def start(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        context: Context | None = None,
    ) -> Span:
        """A started span that is not made current; the caller ends it. Child of `context`, or of the current one."""
        if otel_context.get_value(_SUPPRESSED):
            return NonRecordingSpan(trace.get_current_span(context).get_span_context())
        return self._tracer.start_span(name, context=context, kind=kind, attributes=attributes)

    def span(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        context: Context | None = None,
    ) -> SpanScope:
        """A span around a block. An exception sets its status, is recorded with its text masked, and goes on."""
        return SpanScope(self, self.start(name, kind=kind, attributes=attributes, context=context), context)

    def traced(
        self, name: str | None = None, *, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes = None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorator: a span around each call of a function or coroutine function; `name` None takes the function's."""

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            span_name = name or function.__qualname__

            if inspect.iscoroutinefunction(function):

                @functools.wraps(function)
                async def call_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                    with self.span(span_name, kind=kind, attributes=attributes):
                        return await function(*args, **kwargs)

                return cast(Callable[P, R], call_async)

            @functools.wraps(function)
            def call(*args: P.args, **kwargs: P.kwargs) -> R:
                with self.span(span_name, kind=kind, attributes=attributes):
                    return function(*args, **kwargs)

            return call

        return decorate

    def fail(self, span: Span, error: BaseException) -> None:
        """Marks `span` as failed by `error`; personal data in the error's text is masked."""
        if not span.is_recording():
            return
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        span.set_attribute(keys.ERROR_TYPE, name)
        # A cancelled or closed block was asked to end: not an error of the operation.
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            return
        message = self.masker.text(str(error))
        stack = self.masker.text("".join(traceback.format_exception(error)))
        span.set_status(Status(StatusCode.ERROR, message[:256]))
        span.add_event(
            "exception",
            {keys.EXCEPTION_TYPE: name, keys.EXCEPTION_MESSAGE: message, keys.EXCEPTION_STACKTRACE: stack},
        )

    @contextmanager
    def suppressed(self) -> Iterator[None]:
        """No spans inside this block: for probes, scrapes and start-up work that would only make noise."""
        token = otel_context.attach(otel_context.set_value(_SUPPRESSED, True))
        try:
            yield
        finally:
            otel_context.detach(token)
