"""Puts a span around each call of a function, coroutine function, generator or asynchronous generator."""

import functools
import inspect
import logging
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import Token
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import Attributes, AttributeValue

from lean_tracing.current import attach, detach, get_current

P = ParamSpec("P")
R = TypeVar("R")
AttributesOf = Mapping[str, AttributeValue] | Callable[..., Attributes] | None
"""Attributes, or a function that makes them of a call's arguments."""

_logger = logging.getLogger(__name__)


class Manager(Protocol):
    """The part of a `TraceManager` that the decorator needs."""

    active: bool

    def start(self, name: str, *, kind: SpanKind, attributes: Attributes) -> Span:
        """A started span."""

    def scope(self, span: Span) -> AbstractContextManager[Span]:
        """The block in which `span` is current, and with which it ends."""

    def fail(self, span: Span, error: BaseException) -> None:
        """Marks `span` as failed by `error`, if it is a failure."""


@dataclass(frozen=True, kw_only=True)
class SpanDecorator:
    """The decorator behind `TraceManager.traced`."""

    manager: Manager
    name: str | None
    kind: SpanKind
    attributes: AttributesOf

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if isinstance(function, (classmethod, staticmethod)):
            return cast(Callable[P, R], type(function)(self(function.__func__)))
        if _is(inspect.isasyncgenfunction, function):
            return cast(Callable[P, R], self._around_async_generator(function))
        if _is(inspect.isgeneratorfunction, function):
            return cast(Callable[P, R], self._around_generator(function))
        if _is(inspect.iscoroutinefunction, function):
            return cast(Callable[P, R], self._around_coroutine(function))

        start = self._starter(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with self.manager.scope(start(args, kwargs)):
                return function(*args, **kwargs)

        return call

    def _around_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        start = self._starter(function)

        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            with self.manager.scope(start(args, kwargs)):
                return await function(*args, **kwargs)

        return call

    def _around_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        start = self._starter(function)

        @functools.wraps(function)
        def iterate(*args: Any, **kwargs: Any) -> Any:
            generator = function(*args, **kwargs)
            if not self.manager.active:
                return (yield from generator)
            with self._body(start(args, kwargs)) as body:
                return (yield from _InContext(generator, body))

        return iterate

    def _around_async_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        start = self._starter(function)

        @functools.wraps(function)
        async def iterate(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            generator = function(*args, **kwargs)
            with self._body(start(args, kwargs)) as body:
                step, argument = generator.asend, None
                while True:  # as `yield from`, which an asynchronous generator does not have
                    try:
                        with body:
                            item = await step(argument)
                    except StopAsyncIteration:
                        return
                    try:
                        step, argument = generator.asend, (yield item)
                    except BaseException as error:  # the consumer's, GeneratorExit of aclose() among them
                        step, argument = generator.athrow, error

        return iterate

    def _starter(self, function: Callable[..., Any]) -> Callable[[tuple[Any, ...], dict[str, Any]], Span]:
        """Return the function that starts the span of a call with these arguments."""
        name = self.name or _name(function)
        fixed, computed = (None, self.attributes) if callable(self.attributes) else (self.attributes, None)

        def start(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Span:
            span = self.manager.start(name, kind=self.kind, attributes=fixed)
            if computed is not None and span.is_recording():
                try:
                    span.set_attributes(computed(*args, **kwargs) or {})
                except Exception as error:
                    _logger.warning("no attributes for span %r: %s", name, type(error).__name__)
            return span

        return start

    @contextmanager
    def _body(self, span: Span) -> Iterator["_Body"]:
        """The time from a generator's first step to its end, with which `span` ends."""
        try:
            yield _Body(span)
        except BaseException as error:
            self.manager.fail(span, error)
            raise
        finally:
            span.end()


class _Body:
    """Enters a generator's own context for one step, so that its span is never current between two steps."""

    __slots__ = ("_context", "_token")

    def __init__(self, span: Span) -> None:
        self._context = trace.set_span_in_context(span)
        self._token: Token[Context]

    def __enter__(self) -> None:
        self._token = attach(self._context)

    def __exit__(self, *_: object) -> None:
        # The generator may be inside a span of its own, where it continues at the next step.
        self._context = get_current()
        detach(self._token)


class _InContext(Generator[Any, Any, Any]):
    """A generator that takes each step in its own context."""

    __slots__ = ("_body", "_generator")

    def __init__(self, generator: Generator[Any, Any, Any], body: _Body) -> None:
        self._generator = generator
        self._body = body

    def __next__(self) -> Any:
        with self._body:
            return next(self._generator)

    def send(self, value: Any) -> Any:
        with self._body:
            return self._generator.send(value)

    def throw(self, *error: Any) -> Any:
        with self._body:
            return self._generator.throw(*error)

    def close(self) -> None:
        with self._body:
            self._generator.close()


def _is(test: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    """`test` of a function, or of the `__call__` of an object that is called like one."""
    return test(function) or test(getattr(function, "__call__", None))  # noqa: B004


def _name(function: Callable[..., Any]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__qualname__", None) or type(function).__qualname__
