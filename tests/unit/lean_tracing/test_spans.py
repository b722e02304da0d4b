"""Spans of functions, coroutines and generators: their times, their parents, and their errors."""

import asyncio
import functools
import gc
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from lean_tracing import Propagator, TracingSettings, propagation, start_tracing
from lean_tracing.testing import Recorder

PROPAGATOR = Propagator()

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def _current() -> int:
    return trace.get_current_span().get_span_context().span_id


def test_span_nests_and_records_a_redacted_error(recorder: Recorder) -> None:
    def fail() -> None:
        raise ValueError("no mailbox ada@example.com at http://user:pass@host/")

    with (
        pytest.raises(ValueError, match="no mailbox"),
        recorder.traces.span("outer") as outer,
        recorder.traces.span("inner"),
    ):
        fail()
    inner = recorder.one("inner")
    assert _parent(inner) == outer.get_span_context().span_id
    assert inner.status.status_code is StatusCode.ERROR
    assert inner.attributes is not None
    assert inner.attributes["error.type"] == "ValueError"
    assert [event.name for event in inner.events] == ["exception"]
    for secret in ("ada@example.com", "user:pass"):
        assert secret not in inner.to_json()


def test_error_whose_text_cannot_be_had_is_still_an_error(recorder: Recorder) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with pytest.raises(Mute), recorder.traces.span("mute"):
        raise Mute
    assert recorder.one("mute").status.status_code is StatusCode.ERROR


def test_cancelled_is_no_error_of_the_operation(recorder: Recorder) -> None:
    async def cancelled() -> None:
        entered = asyncio.Event()

        async def work() -> None:
            async with recorder.traces.span("work"):
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    span = recorder.one("work")
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes is not None
    assert span.attributes["error.type"] == "asyncio.exceptions.CancelledError"


_ENDS: list[tuple[BaseException, StatusCode, str | None]] = [
    (SystemExit(0), StatusCode.UNSET, None),
    (SystemExit(), StatusCode.UNSET, None),
    (SystemExit(False), StatusCode.UNSET, None),
    (SystemExit(3), StatusCode.ERROR, "SystemExit"),
    (SystemExit("no database"), StatusCode.ERROR, "SystemExit"),
    (SystemExit(""), StatusCode.ERROR, "SystemExit"),
    (GeneratorExit(), StatusCode.UNSET, None),
    (KeyboardInterrupt(), StatusCode.UNSET, "KeyboardInterrupt"),
    (asyncio.CancelledError(), StatusCode.UNSET, "asyncio.exceptions.CancelledError"),
    (BaseExceptionGroup("all", [SystemExit(0), GeneratorExit()]), StatusCode.UNSET, None),
    (BaseExceptionGroup("one", [SystemExit(0), ValueError("x")]), StatusCode.ERROR, "BaseExceptionGroup"),
    (MemoryError(), StatusCode.ERROR, "MemoryError"),
]


def _in_block(recorder: Recorder, error: BaseException) -> None:
    with recorder.traces.span("ends"):
        raise error


def _in_async_block(recorder: Recorder, error: BaseException) -> None:
    async def run() -> None:
        async with recorder.traces.span("ends"):
            raise error

    _drive(run())


def _in_function(recorder: Recorder, error: BaseException) -> None:
    @recorder.traces.traced("ends")
    def run() -> None:
        raise error

    run()


def _in_coroutine(recorder: Recorder, error: BaseException) -> None:
    @recorder.traces.traced("ends")
    async def run() -> None:
        raise error

    _drive(run())


def _in_generator(recorder: Recorder, error: BaseException) -> None:
    @recorder.traces.traced("ends")
    def run() -> Iterator[int]:
        yield 1
        raise error

    list(run())


def _in_async_generator(recorder: Recorder, error: BaseException) -> None:
    @recorder.traces.traced("ends")
    async def run() -> AsyncIterator[int]:
        yield 1
        raise error

    async def consume() -> None:
        async for _ in run():
            pass

    _drive(consume())


def _drive(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine to its end without an event loop, which would handle some of these errors itself."""
    coroutine.send(None)


@pytest.mark.parametrize(("error", "status", "kind"), _ENDS, ids=[repr(error) for error, _, _ in _ENDS])
@pytest.mark.parametrize(
    "form", [_in_block, _in_async_block, _in_function, _in_coroutine, _in_generator, _in_async_generator]
)
def test_what_ends_a_block_is_an_error_only_where_the_operation_failed(
    recorder: Recorder,
    form: Callable[[Recorder, BaseException], None],
    error: BaseException,
    status: StatusCode,
    kind: str | None,
) -> None:
    with pytest.raises(type(error)):
        form(recorder, error)
    span = recorder.one("ends")
    assert span.status.status_code is status
    assert span.attributes is not None
    assert span.attributes.get("error.type") == kind
    assert [event.name for event in span.events] == (["exception"] if status is StatusCode.ERROR else [])


@pytest.mark.parametrize("error", [StopIteration(7), StopAsyncIteration()])
def test_the_end_of_an_iterator_is_no_error(recorder: Recorder, error: BaseException) -> None:
    for form in (_in_block, _in_function):  # in a generator or coroutine Python makes a RuntimeError of it
        with pytest.raises(type(error)):
            form(recorder, error)
    assert [span.status.status_code for span in recorder.spans()] == [StatusCode.UNSET, StatusCode.UNSET]


def test_async_spans_of_concurrent_tasks_keep_their_parents(recorder: Recorder) -> None:
    async def work(number: int) -> None:
        async with recorder.traces.span(f"outer {number}"):
            await asyncio.sleep(0)
            async with recorder.traces.span(f"inner {number}"):
                await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(work(1), work(2))

    asyncio.run(both())
    for number in (1, 2):
        assert _parent(recorder.one(f"inner {number}")) == recorder.one(f"outer {number}").context.span_id


def test_suppressed_makes_no_span_but_keeps_the_context(recorder: Recorder) -> None:
    with recorder.traces.span("outer") as outer, recorder.traces.suppressed(), recorder.traces.span("hidden"):
        assert propagation.trace_id() == trace.format_trace_id(outer.get_span_context().trace_id)
    assert [span.name for span in recorder.spans()] == ["outer"]


def test_disabled_makes_no_span_and_still_carries_the_context() -> None:
    tracing = start_tracing(TracingSettings(enabled=False))
    incoming = PROPAGATOR.from_kafka([("traceparent", TRACEPARENT.encode())])
    with tracing.traces.span("any", context=incoming) as span, tracing.traces.span("inside"):
        assert not span.is_recording()
        assert PROPAGATOR.inject()["traceparent"] == TRACEPARENT
    assert not PROPAGATOR.inject()
    assert tracing.shutdown()


def test_settings_choose_the_formats_of_contexts() -> None:
    tracing = start_tracing(TracingSettings(enabled=False, propagators=("baggage",), baggage_entries="a"))
    propagator: Propagator = tracing.traces.propagator
    context = propagator.from_kafka([("traceparent", TRACEPARENT.encode()), ("baggage", b"a=b")])
    assert propagator.inject(context) == {"baggage": "a=b"}
    tracing.shutdown()


# --- @traced ----------------------------------------------------------------------------------------------------------


def test_traced_wraps_functions_and_coroutines(recorder: Recorder) -> None:
    @recorder.traces.traced("double")
    def double(number: int) -> int:
        return 2 * number

    @recorder.traces.traced()
    async def triple(number: int) -> int:
        await asyncio.sleep(0)
        assert trace.get_current_span().is_recording()
        return 3 * number

    assert double(2) == 4
    assert asyncio.run(triple(2)) == 6
    assert recorder.one("double").status.status_code is StatusCode.UNSET
    assert any("triple" in span.name for span in recorder.spans())
    assert inspect.iscoroutinefunction(triple)


def test_traced_methods_partials_and_callables(recorder: Recorder) -> None:
    traced = recorder.traces.traced

    class Shop:
        @traced("method")
        def method(self) -> str:
            return type(self).__name__

        @classmethod
        @traced("class inside")
        def inside(cls) -> str:
            return cls.__name__

        @traced("class outside")
        @classmethod
        def outside(cls) -> str:
            return cls.__name__

        @traced("static outside")
        @staticmethod
        def static() -> str:
            return "Shop"

        async def __call__(self) -> str:
            await asyncio.sleep(0)
            assert trace.get_current_span().is_recording()
            return "Shop"

    shop: Any = Shop()
    assert {shop.method(), shop.inside(), shop.outside(), Shop.outside(), shop.static()} == {"Shop"}
    assert traced()(functools.partial(int, "7", base=8))() == 7
    assert asyncio.run(traced("called")(shop)()) == "Shop"
    assert [span.name for span in recorder.spans()] == [
        "method", "class inside", "class outside", "class outside", "static outside", "int", "called",
    ]  # fmt: skip


def test_attributes_of_arguments_are_made_only_for_recorded_spans(recorder: Recorder) -> None:
    calls: list[int] = []

    def describe(number: int) -> dict[str, int]:
        calls.append(number)
        return {"number": 10 // number}

    @recorder.traces.traced("described", attributes=describe)
    def work(number: int) -> int:
        return number

    assert [work(5), work(0)] == [5, 0]
    with recorder.traces.suppressed():
        work(7)
    first, second = recorder.spans()
    assert first.attributes == {"number": 2}
    assert not second.attributes, "an error in the attributes costs the attributes only"
    assert calls == [5, 0]


def test_generator_span_is_current_in_its_body_only(recorder: Recorder) -> None:
    bodies: list[int] = []

    @recorder.traces.traced("numbers")
    def numbers() -> Generator[int, str, str]:
        bodies.append(_current())
        with recorder.traces.span("step"):
            got = yield 1
            bodies.append(_current())
            with recorder.traces.span("after yield"):
                pass
        bodies.append(_current())
        assert got == "sent"
        yield 2
        return "returned"

    assert inspect.isgeneratorfunction(numbers)
    with recorder.traces.span("consumer") as consumer:
        here = consumer.get_span_context().span_id
        generator = numbers()
        assert not bodies
        assert next(generator) == 1
        assert _current() == here
        assert generator.send("sent") == 2
        assert _current() == here
        assert "numbers" not in {span.name for span in recorder.spans()}, "not before it is exhausted"
        with pytest.raises(StopIteration) as stop:
            next(generator)
        assert stop.value.value == "returned"
    span, step = recorder.one("numbers"), recorder.one("step")
    assert _parent(span) == here
    assert bodies == [span.context.span_id, step.context.span_id, span.context.span_id]
    assert _parent(recorder.one("after yield")) == step.context.span_id


def test_generator_passes_throw_and_close_on(recorder: Recorder) -> None:
    steps: list[str] = []

    @recorder.traces.traced("catching")
    def catching() -> Iterator[str]:
        try:
            while True:
                try:
                    yield "waiting"
                except KeyError:
                    yield "caught"
        finally:
            steps.append("closed")

    generator: Any = catching()
    assert next(generator) == "waiting"
    assert generator.throw(KeyError("k")) == "caught"
    generator.close()
    assert steps == ["closed"]
    closed = recorder.one("catching")
    assert closed.status.status_code is StatusCode.UNSET
    assert not closed.events

    generator = catching()
    next(generator)
    with pytest.raises(ZeroDivisionError):
        generator.throw(ZeroDivisionError("z"))
    assert [span.status.status_code for span in recorder.spans()] == [StatusCode.UNSET, StatusCode.ERROR]


def test_abandoned_generators_end_or_never_begin(recorder: Recorder) -> None:
    @recorder.traces.traced("left")
    def left() -> Iterator[int]:
        yield 1
        yield 2

    left().__iter__()  # never begun
    for _ in left():
        break
    gc.collect()
    assert [span.name for span in recorder.spans()] == ["left"]


def test_two_generators_in_turn_do_not_mix(recorder: Recorder) -> None:
    @recorder.traces.traced()
    def steps(name: str) -> Iterator[None]:
        for number in range(3):
            with recorder.traces.span(f"{name}{number}"):
                yield

    assert len(list(zip(steps("a"), steps("b"), strict=True))) == 3
    parents = {name: {_parent(recorder.one(f"{name}{number}")) for number in range(3)} for name in "ab"}
    assert len(parents["a"]) == len(parents["b"]) == 1
    assert parents["a"] != parents["b"]


def test_async_generator_span(recorder: Recorder) -> None:
    bodies: list[int] = []

    @recorder.traces.traced("pages")
    async def pages() -> AsyncGenerator[int, str]:
        await asyncio.sleep(0)
        bodies.append(_current())
        try:
            assert (yield 1) == "sent"
            bodies.append(_current())
            yield 2
        except KeyError:
            yield 3
        finally:
            await asyncio.sleep(0)
            bodies.append(_current())

    async def consume() -> None:
        with recorder.traces.span("consumer") as consumer:
            here = consumer.get_span_context().span_id
            generator = pages()
            assert await anext(generator) == 1
            assert _current() == here
            assert await generator.asend("sent") == 2
            assert _current() == here
            assert await generator.athrow(KeyError("k")) == 3
            with pytest.raises(StopAsyncIteration):
                await anext(generator)
            early = pages()
            await anext(early)
            await early.aclose()
            assert _current() == here

    assert inspect.isasyncgenfunction(pages)
    asyncio.run(consume())
    whole, closed = (span for span in recorder.spans() if span.name == "pages")
    assert bodies == [whole.context.span_id] * 3 + [closed.context.span_id] * 2
    assert {whole.status.status_code, closed.status.status_code} == {StatusCode.UNSET}
    assert not closed.events


def test_async_generator_that_fails_fails_its_span(recorder: Recorder) -> None:
    @recorder.traces.traced("failing")
    async def failing() -> AsyncIterator[int]:
        yield 1
        raise LookupError("gone")

    async def consume() -> None:
        async for _ in failing():
            pass

    with pytest.raises(LookupError):
        asyncio.run(consume())
    assert recorder.one("failing").status.status_code is StatusCode.ERROR


class _Own(Exception):
    pass


def _generator(script: list[str]) -> Generator[object, object, list[object]]:
    got: list[object] = []
    for step in script:
        if step == "yield":
            got.append((yield len(got)))
        elif step == "catch":
            try:
                got.append((yield step))
            except _Own:
                got.append("caught")
        elif step == "finally":
            try:
                got.append((yield step))
            finally:
                got.append("left")
        else:
            raise ValueError(str(got))
    return got


async def _async_generator(script: list[str]) -> AsyncGenerator[object, object]:
    inner = _generator(script)
    item = next(inner, "end")
    while item != "end":
        await asyncio.sleep(0)
        try:
            sent = yield item
        except _Own as error:
            item = inner.throw(error)
        else:
            try:
                item = inner.send(sent)
            except StopIteration:
                return


def _driven(generator: Generator[object, object, object], operations: list[str]) -> list[object]:
    calls: dict[str, Callable[[], object]] = {
        "next": lambda: next(generator),
        "send": lambda: generator.send("sent"),
        "throw": lambda: generator.throw(_Own("thrown")),
        "close": generator.close,
    }
    results: list[object] = []
    for operation in operations:
        try:
            results.append(calls[operation]())
        except Exception as error:
            results.append((type(error), str(error)))
        assert not trace.get_current_span().get_span_context().is_valid
    return results


async def _driven_async(generator: AsyncGenerator[object, object], operations: list[str]) -> list[object]:
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "next": generator.__anext__,
        "send": lambda: generator.asend("sent"),
        "throw": lambda: generator.athrow(_Own("thrown")),
        "close": generator.aclose,
    }
    results: list[object] = []
    for operation in operations:
        try:
            results.append(await calls[operation]())
        except Exception as error:
            results.append((type(error), str(error)))
        assert not trace.get_current_span().get_span_context().is_valid
    return results


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    script=st.lists(st.sampled_from(["yield", "catch", "finally", "raise"]), max_size=5),
    operations=st.lists(st.sampled_from(["next", "send", "throw", "close"]), max_size=8),
)
def test_traced_generators_behave_as_plain_ones(recorder: Recorder, script: list[str], operations: list[str]) -> None:
    traced = recorder.traces.traced("generator")
    assert _driven(traced(_generator)(script), operations) == _driven(_generator(script), operations)
    over_async = asyncio.run(_driven_async(traced(_async_generator)(script), operations))
    assert over_async == asyncio.run(_driven_async(_async_generator(script), operations))


def test_disabled_generators_behave_as_plain_ones() -> None:
    tracing = start_tracing(TracingSettings(enabled=False))
    for script in (["yield", "catch", "finally"], ["yield", "raise"]):
        operations = ["next", "send", "throw", "next", "next"]
        traced = tracing.traces.traced("generator")(_generator)
        assert _driven(traced(script), operations) == _driven(_generator(script), operations)
    tracing.shutdown()
