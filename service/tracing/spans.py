"""The trace manager: the one place where spans of business operations begin and end."""

from __future__ import annotations

import functools
import inspect
import logging
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Token
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, NoOpTracer, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import Attributes, AttributeValue

from service.tracing import attributes as keys
from service.tracing.propagation import Propagator
from service.tracing.redaction import Redactor
from service.tracing.tracer import ABORTED, is_failure

P = ParamSpec("P")
R = TypeVar("R")

KNOWN_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
"""Of HTTP, as OpenTelemetry's conventions list them. They are case-sensitive."""
OTHER_METHOD: Final = "_OTHER"
"""Any other: span names and label values must stay few, and a client can make up methods."""

_SUPPRESSED = otel_context.create_key("tracing-suppressed")
_LONGEST_DESCRIPTION = 256
_logger = logging.getLogger(__name__)


class Few:
    """Lets the first `most` different texts pass; any further one becomes `other`. For what becomes part of a name."""

    __slots__ = ("_most", "_other", "_seen")

    def __init__(self, most: int, other: str) -> None:
        self._most = most
        self._other = other
        self._seen: set[str] = set()

    def __call__(self, text: str) -> str:
        if text not in self._seen:
            if len(self._seen) >= self._most:
                return self._other
            self._seen.add(text)
        return text


class SpanScope:
    """A span that is current inside a `with` or `async with` block, and ends with it."""

    __slots__ = ("_context", "_manager", "_span", "_token")

    def __init__(self, manager: TraceManager, span: Span, context: Context | None) -> None:
        self._manager = manager
        self._span = span
        self._context = context
        self._token: Token[Context] | None = None

    def __enter__(self) -> Span:
        # Without an SDK the span says no more than the context that is current already.
        if self._manager.active or self._context is not None:
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


class _Body:
    """Enters a generator's own context for one step: what is current in its body never shows between two yields."""

    __slots__ = ("_context", "_token")

    def __init__(self, span: Span) -> None:
        self._context = trace.set_span_in_context(span)

    def __enter__(self) -> None:
        self._token = otel_context.attach(self._context)

    def __exit__(self, *_: object) -> None:
        # The body may be inside a span of its own; it goes on there at the next step.
        self._context = otel_context.get_current()
        otel_context.detach(self._token)


class TraceManager:
    """Makes spans. With a no-op tracer it makes none, and still carries contexts on."""

    def __init__(
        self,
        tracer: Tracer,
        redactor: Redactor,
        propagator: Propagator | None = None,
        *,
        sampled_by_attributes: bool = True,
        methods: Collection[str] = KNOWN_METHODS,
    ) -> None:
        """sampled_by_attributes: False where the sampler looks at none, so that they may be set after the start.

        methods: those of HTTP that spans and metrics name.
        """
        self._tracer = tracer
        self.redactor = redactor
        self.sampled_by_attributes = sampled_by_attributes
        self.propagator = propagator or Propagator()
        self.active = not isinstance(tracer, NoOpTracer)
        self._methods = frozenset(methods)

    def method(self, method: str) -> str:
        """`method` of an HTTP request as spans and metrics name it: `_OTHER` if it is not a known one."""
        return method if method in self._methods else OTHER_METHOD

    def start(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        context: Context | None = None,
    ) -> Span:
        """A started span that is not made current; the caller ends it. Child of `context`, or of the current one."""
        if not self.active or otel_context.get_value(_SUPPRESSED):
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
        self,
        name: str | None = None,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AttributeValue] | Callable[..., Attributes] | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorator: a span around each call of a function, coroutine function, method or partial.

        Of a generator or asynchronous generator the span lasts from the first step to its end, and is current only
        while the generator's own code runs.

        name: None takes the function's. attributes: or a function that makes them of the call's arguments; it is called
        only for spans that are recorded, and an error in it costs the attributes, never the call.
        """
        fixed, computed = (None, attributes) if callable(attributes) else (attributes, None)

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            if isinstance(function, (classmethod, staticmethod)):
                return cast(Callable[P, R], type(function)(decorate(function.__func__)))
            span_name = name or _name(function)

            def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Span:
                span = self.start(span_name, kind=kind, attributes=fixed)
                if computed is not None and span.is_recording():
                    try:
                        span.set_attributes(computed(*args, **kwargs) or {})
                    except Exception as error:
                        _logger.warning("no attributes for span %r: %s", span_name, type(error).__name__)
                return span

            if _is(inspect.isasyncgenfunction, function):

                @functools.wraps(function)
                async def iterate_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                    generator: Any = function(*args, **kwargs)
                    span = begin(args, kwargs)
                    body, step, argument = _Body(span), generator.asend, None
                    try:
                        while True:
                            try:
                                with body:
                                    item = await step(argument)
                            except StopAsyncIteration:
                                return
                            try:
                                step, argument = generator.asend, (yield item)
                            except BaseException as error:  # the consumer's, GeneratorExit of aclose() among them
                                step, argument = generator.athrow, error
                    except BaseException as error:
                        self.fail(span, error)
                        raise
                    finally:
                        span.end()

                return cast(Callable[P, R], iterate_async)

            if _is(inspect.isgeneratorfunction, function):

                @functools.wraps(function)
                def iterate(*args: P.args, **kwargs: P.kwargs) -> Any:
                    generator: Any = function(*args, **kwargs)
                    if not self.active:
                        return (yield from generator)
                    span = begin(args, kwargs)
                    body, step, argument = _Body(span), generator.send, None
                    try:
                        while True:
                            try:
                                with body:
                                    item = step(argument)
                            except StopIteration as stop:
                                return stop.value
                            try:
                                step, argument = generator.send, (yield item)
                            except BaseException as error:  # the consumer's, GeneratorExit of close() among them
                                step, argument = generator.throw, error
                    except BaseException as error:
                        self.fail(span, error)
                        raise
                    finally:
                        span.end()

                return cast(Callable[P, R], iterate)

            if _is(inspect.iscoroutinefunction, function):

                @functools.wraps(function)
                async def call_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                    with SpanScope(self, begin(args, kwargs), None):
                        return await cast(Any, function(*args, **kwargs))

                return cast(Callable[P, R], call_async)

            @functools.wraps(function)
            def call(*args: P.args, **kwargs: P.kwargs) -> R:
                with SpanScope(self, begin(args, kwargs), None):
                    return function(*args, **kwargs)

            return call

        return decorate

    def fail(self, span: Span, error: BaseException) -> None:
        """Marks `span` as failed by `error`, if it is a failure; personal data in the error's text is masked."""
        failure = is_failure(error)
        if not span.is_recording() or not (failure or isinstance(error, ABORTED)):
            return
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        span.set_attribute(keys.ERROR_TYPE, name)
        if not failure:  # aborted: the type tells that the work was not done
            return
        try:
            text = str(error)
        except Exception:  # an error's text is its author's code
            text = ""
        message = self.redactor.text(text)
        stack = self.redactor.text("".join(traceback.format_exception(error)))
        span.set_status(Status(StatusCode.ERROR, message[:_LONGEST_DESCRIPTION]))
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


def _is(test: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    """`test` of a function, or of the `__call__` of an object that is called like one."""
    return test(function) or test(getattr(function, "__call__", None))  # noqa: B004


def _name(function: Callable[..., Any]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__qualname__", None) or type(function).__qualname__
