"""Spans of the native part begin, change and end as those of its twins in Python."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import INVALID_SPAN, Link, NonRecordingSpan, SpanKind

from lean_tracing import tracer as tracer_module
from lean_tracing.current import with_span
from lean_tracing.redaction import Redactor
from lean_tracing.sampling import TraceSampler
from lean_tracing.shared_attributes import SharedAttributes
from lean_tracing.span import Limits, NativeSpan, RecordedSpan
from lean_tracing.spans import TraceManager
from lean_tracing.statistics import SpanCounts
from lean_tracing.tracer import LeanTracer, TracerParts
from tests.process.lean_tracing.native import values

_SLOTS = [name for name in RecordedSpan.__slots__ if name not in ("_on_end", "limits", "_clock")]
_FOREIGN_KEY = otel_context.create_key("of another library")


class _Made:
    """A manager, the spans that it has ended, and its counts."""

    def __init__(self, native: ModuleType | None, limits: Limits, sampler: TraceSampler) -> None:
        self.ended: list[RecordedSpan] = []
        self.counts = SpanCounts()
        parts = TracerParts(sampler, limits, self.counts, self.ended.append)
        tracer = LeanTracer(InstrumentationScope("tests"), parts)
        self.traces = TraceManager(tracer, Redactor("a key for tests"), native=native)


def _described(span: RecordedSpan) -> dict[str, Any]:
    """What a span holds, without the times that a clock gave; NaN compares as text."""
    slots = {name: getattr(span, name) for name in _SLOTS}
    slots["links"] = [(link.context, link.attributes, link.dropped_attributes) for link in span.links]
    slots["events"] = [(event.name, event.attributes, event.dropped_attributes) for event in span.events]
    slots["status"] = (span.status.status_code, span.status.description)
    started, ended = slots.pop("start_time"), slots.pop("end_time")
    assert isinstance(started, int)
    assert ended is None or ended >= started
    assert isinstance(span._clock, int)
    return {name: repr(value) for name, value in slots.items()} | {"has ended": ended is not None}


_Step = Callable[[_Made], object]


def _raising(error: type[BaseException]) -> _Step:
    def run(made: _Made) -> None:
        with made.traces.span("fails"):
            raise error("password=hunter22")

    return run


class Odd(dict):  # type: ignore[type-arg]
    """A mapping whose methods raise."""

    def items(self) -> Any:
        raise ValueError("no items")


# Few keys and simple values, so that the same key is often set twice, and the room often ends.
_FEW_KEYS = st.sampled_from("abcd")
_SIMPLE = st.one_of(st.integers(), st.booleans(), st.floats(), st.sampled_from(["x", "y" * 20, "z" * 18_000]))
_FEW = st.dictionaries(_FEW_KEYS, _SIMPLE, max_size=4)
_LINKS = st.one_of(st.just(()), st.lists(values.LINK, min_size=1, max_size=2).map(tuple), st.lists(values.LINK))
_ATTRIBUTES = st.one_of(
    st.none(),
    _FEW,
    _FEW.map(SharedAttributes),
    values.ATTRIBUTES,
    values.ATTRIBUTES.map(SharedAttributes),
    values.ATTRIBUTES.flatmap(values.mappings),
    st.just(Odd(a=1)),
)
_PARENT = st.one_of(
    st.none(),
    st.just(Context()),
    st.just(with_span(INVALID_SPAN, Context())),
    values.CONTEXT.map(lambda context: with_span(NonRecordingSpan(context), Context({_FOREIGN_KEY: "kept"}))),
)
_CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("set_attribute"), st.tuples(_FEW_KEYS, _SIMPLE)),
        st.tuples(st.just("set_attributes"), st.tuples(_FEW)),
        st.tuples(st.just("set_attribute"), st.tuples(values.KEY, values.VALUE)),
        st.tuples(st.just("set_attributes"), st.tuples(_ATTRIBUTES)),
        st.tuples(st.just("update_name"), st.tuples(values.TEXT)),
        st.tuples(st.just("add_event"), st.tuples(values.TEXT, values.ATTRIBUTES)),
        st.tuples(st.just("set_status"), st.tuples(values.STATUS)),
        st.tuples(st.just("end"), st.sampled_from([(), (5,), (2**64,), (None,), ("x",)])),
    ),
    max_size=5,
)


@st.composite
def _plans(draw: st.DrawFn) -> Mapping[str, Any]:
    """The arguments of a span, the changes inside its block, and the spans inside it."""
    plan: dict[str, Any] = {
        "name": draw(values.TEXT),
        "changes": draw(_CHANGES),
        "inner": draw(st.integers(0, 2)),
        "error": draw(st.sampled_from([None, None, ValueError, KeyboardInterrupt, StopIteration])),
        "arguments": {},
    }
    for name, strategy in {
        "kind": st.sampled_from(list(SpanKind)),
        "attributes": _ATTRIBUTES,
        "context": _PARENT,
        "links": _LINKS,
    }.items():
        if draw(st.booleans()):
            plan["arguments"][name] = draw(strategy)
    return plan


def _carry_out(made: _Made, plan: Mapping[str, Any]) -> Sequence[object]:
    """What was observed while a plan was carried out."""
    observed: list[object] = []
    tracer_module.generator.seed(7)
    try:
        with made.traces.span(plan["name"], **plan["arguments"]) as span:
            observed.append({name: value for name, value in otel_context.get_current().items() if "span" not in name})
            observed.append(trace.get_current_span() is span)
            for method, arguments in plan["changes"]:
                observed.append(_outcome(getattr(span, method), *arguments))
                observed.append((span.is_recording(), span.get_span_context()))
            for _ in range(plan["inner"]):
                inner = made.traces.start("inner", kind=SpanKind.CLIENT, attributes={"a": 1})
                inner.set_attributes({"b": True})
                with made.traces.scope(inner):
                    observed.append(trace.get_current_span() is inner)
            if plan["error"] is not None:
                raise plan["error"]("with a text")
    except (ValueError, KeyboardInterrupt, StopIteration) as error:
        observed.append(repr(error))
    observed.append(trace.get_current_span() is INVALID_SPAN)
    observed += map(_described, made.ended)
    observed.append((made.counts.started, made.counts.sampled_out, made.counts.timed))
    return observed


def _outcome(function: Callable[..., object], *arguments: object) -> object:
    try:
        return function(*arguments)
    except Exception as error:
        return type(error), str(error)


_SAMPLERS = {
    "all": lambda: TraceSampler(1.0),
    "half": lambda: TraceSampler(0.5),
    "none": lambda: TraceSampler(0.0),
    "each span alone": lambda: TraceSampler(0.5, parent_based=False),
    "all, each alone": lambda: TraceSampler(1.0, parent_based=False),
}


@given(
    plan=_plans(),
    limits=st.builds(
        Limits,
        attributes=st.integers(0, 6),
        events=st.integers(0, 1),
        value_length=st.sampled_from([1, 5, 16_384]),
        links=st.integers(0, 2),
        event_attributes=st.none(),
        link_attributes=st.one_of(st.none(), st.integers(0, 2)),
    ),
    sampler=st.sampled_from(sorted(_SAMPLERS)),
)
def test_the_same_is_seen(compiled: ModuleType, plan: Mapping[str, Any], limits: Limits, sampler: str) -> None:
    python, native = (_Made(part, limits, _SAMPLERS[sampler]()) for part in (None, compiled))
    expected = _carry_out(python, plan)
    shared = plan["arguments"].get("attributes")
    if isinstance(shared, SharedAttributes):
        shared.encoded = None
    assert repr(_carry_out(native, plan)) == repr(expected)


@given(
    attributes=st.one_of(_FEW, _FEW.map(SharedAttributes)),
    changes=st.lists(st.one_of(st.tuples(_FEW_KEYS, _SIMPLE), _FEW), max_size=4),
    limits=st.builds(Limits, st.integers(0, 5), st.just(128), st.sampled_from([5, 16_384]), st.just(128)),
)
def test_attributes_are_kept_alike(
    compiled: ModuleType, attributes: dict[str, Any], changes: Sequence[Any], limits: Limits
) -> None:
    observed = []
    for native in (None, compiled):
        span: Any = _Made(native, limits, TraceSampler(1.0)).traces.start("kept", attributes=attributes)
        for change in changes:
            if isinstance(change, dict):
                span.set_attributes(change)
            else:
                span.set_attribute(*change)
        observed.append((span.own_attributes, span.shared_attributes, span.dropped_attributes, span._room))
    assert repr(observed[0]) == repr(observed[1])


@pytest.fixture
def made(compiled: ModuleType) -> _Made:
    return _Made(compiled, Limits(), TraceSampler(1.0))


def test_the_common_case_is_native(made: _Made) -> None:
    with made.traces.span("outer", attributes={"a": "b"}) as outer, made.traces.span("inner") as inner:
        assert (type(outer), type(inner)) == (NativeSpan, NativeSpan)
        assert inner.get_span_context().trace_id == outer.get_span_context().trace_id
        assert inner._clock == outer._clock  # type: ignore[attr-defined]
    assert [span.name for span in made.ended] == ["inner", "outer"]
    assert made.ended[0].parent is made.ended[1].context


def test_a_span_in_python_may_be_the_parent_of_a_native_one(made: _Made, compiled: ModuleType) -> None:
    python = _Made(None, Limits(), TraceSampler(1.0))
    with python.traces.span("outer") as outer, made.traces.span("inner"):
        pass
    assert made.ended[0].parent == outer.get_span_context()
    with made.traces.span("outer") as outer, python.traces.span("inner"):
        pass
    assert python.ended[-1].parent == outer.get_span_context()


def test_wrong_arguments_raise_what_python_raises(made: _Made) -> None:
    python = _Made(None, Limits(), TraceSampler(1.0)).traces
    for arguments, named in (((), {}), (("a", "b"), {}), (("a",), {"colour": "red"}), ((), {"kind": SpanKind.CLIENT})):
        for name in ("start", "span"):
            with pytest.raises(TypeError):
                getattr(python, name)(*arguments, **named)
            with pytest.raises(TypeError):
                getattr(made.traces, name)(*arguments, **named)
    with made.traces.span(name="named"):
        pass
    assert made.ended[-1].name == "named"


def test_a_suppressed_block_has_no_spans(made: _Made) -> None:
    with made.traces.suppressed(), made.traces.span("none") as span:
        assert not span.is_recording()
    assert not made.ended


def test_an_asynchronous_block(made: _Made) -> None:
    async def work() -> None:
        async with made.traces.span("outer") as outer:
            assert trace.get_current_span() is outer
            with pytest.raises(ValueError, match="no"):
                async with made.traces.span("inner"):
                    raise ValueError("no")
            assert trace.get_current_span() is outer

    asyncio.run(work())
    assert [span.name for span in made.ended] == ["inner", "outer"]
    assert [event.name for event in made.ended[0].events] == ["exception"]


def test_a_block_that_ends_in_another_context_is_logged_and_ends(made: _Made, caplog: pytest.LogCaptureFixture) -> None:
    def steps() -> Iterator[None]:
        with made.traces.span("left in another context"):
            yield

    async def begin() -> Iterator[None]:
        generator = steps()
        next(generator)
        return generator

    async def run() -> None:
        generator = await asyncio.create_task(begin())
        for _ in generator:
            pass

    asyncio.run(run())
    assert [span.name for span in made.ended] == ["left in another context"]
    assert "Failed to detach context" in caplog.text


def test_what_the_end_of_a_span_raises_is_raised(compiled: ModuleType) -> None:
    class Full(Exception):
        pass

    def refuse(span: RecordedSpan) -> None:
        raise Full

    tracer = LeanTracer(InstrumentationScope("tests"), TracerParts(TraceSampler(1.0), Limits(), SpanCounts(), refuse))
    traces = TraceManager(tracer, Redactor(), native=compiled)
    with pytest.raises(Full), traces.span("one"):
        pass


def test_a_link_of_a_consumer_is_kept_as_it_is(made: _Made) -> None:
    with made.traces.span("sent") as sent:
        pass
    link = Link(sent.get_span_context())
    span = made.traces.start("received", links=(link,))
    assert type(span) is NativeSpan
    assert span.links == (link,)


def test_the_part_is_configured_once(compiled: ModuleType) -> None:
    from lean_tracing.native import configure, load, problem

    assert (load(), problem()) == (compiled, None)
    with pytest.raises(ImportError, match="in use already"):
        configure(compiled)
    assert load.__wrapped__() is None, "a second import of the library goes on in Python"


class _Meddling:
    """A key that changes the span and the caller's attributes while it is compared with a key of the same hash."""

    def __init__(self, like: str, meddle: Callable[[], None]) -> None:
        self._hash = hash(like)
        self._meddle = meddle

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        self._meddle()
        return False


def test_shared_keys_that_run_code_harm_nothing(made: _Made) -> None:
    for number in range(100):
        key = f"key {number}"
        attributes: dict[str, Any] = {f"key {number}": "x" * 100}
        spans: list[Any] = []

        def meddle(spans: list[Any] = spans, attributes: dict[str, Any] = attributes) -> None:
            if spans:
                spans.pop().set_attribute("shared", "has another value")  # releases the shared attributes
                attributes.clear()
                bytearray(10_000)

        for change in ("set_attributes", "set_attribute"):
            shared: Any = {_Meddling(key, meddle): 1, "shared": "value"}
            span = made.traces.start("meddling", attributes=SharedAttributes(shared))
            shared.clear()
            spans.append(span)
            getattr(span, change)(*((attributes,) if change == "set_attributes" else (key, 1)))
            assert span.attributes["shared"] == "has another value"  # type: ignore[attr-defined]
