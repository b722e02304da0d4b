"""The trace manager: the one place where spans of business operations begin and end."""

import functools
from collections.abc import Callable, Collection, Sequence
from contextvars import Token
from types import ModuleType, TracebackType
from typing import Final, ParamSpec, TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, NoOpTracer, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import Attributes

from lean_tracing import attributes as keys
from lean_tracing.cardinality import KNOWN_METHODS, OTHER_METHOD
from lean_tracing.current import attach, current_span, detach, get_current, with_span
from lean_tracing.decorator import AttributesOf, SpanDecorator
from lean_tracing.failures import ABORTED, is_failure, stack_of, text_of
from lean_tracing.own_attributes import OwnAttributes
from lean_tracing.propagation import Propagator
from lean_tracing.redaction import Redactor
from lean_tracing.suppression import SUPPRESSED, suppressed
from lean_tracing.tracer import LeanTracer

P = ParamSpec("P")
R = TypeVar("R")

_MAX_DESCRIPTION: Final = 256


class SpanScope:
    """A span that is current inside a `with` or `async with` block, and ends with it."""

    __slots__ = ("_context", "_manager", "_span", "_token")

    def __init__(self, manager: "TraceManager", span: Span, context: Context | None) -> None:
        self._manager = manager
        self._span = span
        self._context = context
        self._token: Token[Context] | None = None

    def __enter__(self) -> Span:
        # A manager that makes no spans only has to attach a context that is not current yet.
        if self._manager.active or self._context is not None:
            self._token = attach(with_span(self._span, self._context))
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._token is not None:
            detach(self._token)
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
    """Makes spans. With a no-op tracer it makes none, and still passes contexts on."""

    def __init__(
        self,
        tracer: Tracer,
        redactor: Redactor,
        propagator: Propagator | None = None,
        *,
        sampled_by_attributes: bool = True,
        methods: Collection[str] = KNOWN_METHODS,
        own: OwnAttributes | None = None,
        native: ModuleType | None = None,
    ) -> None:
        """Creates a manager.

        Args:
            tracer: makes the spans.
            redactor: of the texts of errors.
            propagator: None reads and writes all formats, without baggage.
            sampled_by_attributes: False if the sampler reads no attributes, so that they may be set after the start.
            methods: those of HTTP that spans and metrics name.
            own: keys of the attributes that are not standard; None takes the library's.
            native: the native part.
        """
        self._tracer = tracer
        self.native = native
        self.redactor = redactor
        self.sampled_by_attributes = sampled_by_attributes
        self.propagator = propagator or Propagator(redactor=redactor)
        self.active = not isinstance(tracer, NoOpTracer)
        self.own = own or OwnAttributes.below()
        self._methods = frozenset(methods)
        if native is not None and isinstance(tracer, LeanTracer):
            start = self.start
            self.start = native.Starter(start, None, *tracer.for_native())  # type: ignore[method-assign]
            self.span = native.Starter(start, self.fail, *tracer.for_native())  # type: ignore[method-assign]
            self.scope = functools.partial(native.Scope, self.fail)  # type: ignore[method-assign]

    def method(self, method: str) -> str:
        """The method of an HTTP request as spans and metrics name it: `_OTHER` if it is not a known one."""
        return method if method in self._methods else OTHER_METHOD

    def start(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        context: Context | None = None,
        links: Sequence[Link] = (),
    ) -> Span:
        """A started span that is not made current; the caller ends it. Child of `context`, or of the current one."""
        current = get_current()
        if context is None:
            context = current
        if not self.active or SUPPRESSED in current:
            return NonRecordingSpan(current_span(context).get_span_context())
        return self._tracer.start_span(name, context, kind, attributes, links)

    def span(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        context: Context | None = None,
        links: Sequence[Link] = (),
    ) -> SpanScope:
        """A span around a block. An exception sets its status, is recorded with its text redacted, and continues."""
        span = self.start(name, kind=kind, attributes=attributes, context=context, links=links)
        return SpanScope(self, span, context)

    def scope(self, span: Span, context: Context | None = None) -> SpanScope:
        """The block in which `span` is current, in `context` or the current one, and with which it ends."""
        return SpanScope(self, span, context)

    def traced(
        self, name: str | None = None, *, kind: SpanKind = SpanKind.INTERNAL, attributes: AttributesOf = None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorator: a span around each call of a function, coroutine function, method or partial.

        The span of a generator or asynchronous generator lasts from the first step to its end, and is current only
        while the generator's own code runs.

        Args:
            name: None takes the function's.
            kind: as in OpenTelemetry.
            attributes: or a function that makes them of the call's arguments. It is called only for spans that are
                recorded. If it fails, the span has no attributes, and the call goes on.
        """
        return SpanDecorator(manager=self, name=name, kind=kind, attributes=attributes)

    def fail(self, span: Span, error: BaseException) -> None:
        """Marks `span` as failed by `error`, if it is a failure; personal data in the error's text is redacted."""
        failure = is_failure(error)
        if not span.is_recording() or not (failure or isinstance(error, ABORTED)):
            return
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        span.set_attribute(keys.ERROR_TYPE, name)
        if not failure:  # aborted: the type shows that the work was not done
            return
        message = self.redactor.text(text_of(error))
        stack = self.redactor.text(stack_of(error))
        span.set_status(Status(StatusCode.ERROR, message[:_MAX_DESCRIPTION]))
        span.add_event(
            "exception",
            {keys.EXCEPTION_TYPE: name, keys.EXCEPTION_MESSAGE: message, keys.EXCEPTION_STACKTRACE: stack},
        )

    suppressed = staticmethod(suppressed)
