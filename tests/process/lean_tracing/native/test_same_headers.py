"""The native part reads and writes the headers of a trace as its twins in Python."""

import uuid
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import INVALID_SPAN, Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from lean_tracing.current import SPAN_KEY
from lean_tracing.kafka import _is_intact
from lean_tracing.propagation import CORRELATION_KEY, Propagator
from lean_tracing.redaction import Redactor
from lean_tracing.span import Limits, NativeSpan, RecordedSpan
from tests.process.lean_tracing.native import values

_GOOD = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_REDACTOR = Redactor("a key for tests")


@st.composite
def _traceparents(draw: st.DrawFn) -> bytes:
    """Good ones, and those with another character, length, version or id."""
    text = bytearray(b"00-%032x-%016x-%02x" % (draw(values.LARGE_ID), draw(values.ID), draw(st.integers(0, 255))))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        place = draw(st.integers(0, len(text) - 1))
        text[place : place + draw(st.integers(0, 2))] = draw(
            st.sampled_from([b"", b"-", b"A", b"g", b"\n", b"0", b" "])
        )
    return bytes(text)


_NAME = st.sampled_from(
    ["traceparent", "TraceParent", "TRACEPARENT", "tracestate", "baggage", "x-correlation-id", "X-Correlation-Id",
     "host", "status", "tracepårent", "traceparen\ud800", "x" * 11, ""]
)  # fmt: skip
_VALUE = st.one_of(
    _traceparents(), _traceparents().map(bytes.decode), st.sampled_from([b"", None, b"a=b", b"\xff", "a=b", 5])
)
_OTHER = st.sampled_from(["host", "accept", "user-agent", "content-length"])
_PAIRS = st.one_of(
    st.tuples(st.lists(st.tuples(_OTHER, st.just(b"x")), max_size=3), _traceparents()).map(
        lambda drawn: [*drawn[0], ("traceparent", drawn[1])]
    ),
    st.lists(st.tuples(_NAME, _VALUE), max_size=4),
)


def _described(context: Any) -> object:
    if isinstance(context, tuple):
        return type(context), *map(_described, context)
    if isinstance(context, Link):
        return type(context), vars(context)
    if not isinstance(context, Context):
        return context
    shown = dict(context)
    span: Any = shown.pop(SPAN_KEY, None)
    return type(context), shown, type(span), span and (type(span.get_span_context()), tuple(span.get_span_context()))


def _outcome(function: Any, *arguments: Any) -> object:
    try:
        return _described(function(*arguments))
    except Exception as error:
        return type(error), str(error)


def _both(compiled: ModuleType, formats: Sequence[str]) -> tuple[Propagator, Propagator]:
    return Propagator(formats, _REDACTOR, ("user",)), Propagator(formats, _REDACTOR, ("user",), compiled)


_FORMATS = st.sampled_from([("tracecontext", "baggage"), ("baggage",), ()])
_WRAP = st.sampled_from([list, tuple, lambda pairs: list(map(list, pairs))])


@given(pairs=_PAIRS, formats=_FORMATS, wrap=_WRAP)
@example(pairs=[("traceparent", _GOOD)], formats=("tracecontext",), wrap=list)
@example(pairs=[("traceparent", _GOOD)] * 2, formats=("tracecontext",), wrap=list)
def test_headers_of_kafka(compiled: ModuleType, pairs: list[Any], formats: tuple[str, ...], wrap: Any) -> None:
    python, native = _both(compiled, formats)
    assert _outcome(native.from_kafka, wrap(pairs)) == _outcome(python.from_kafka, wrap(pairs))
    named_in_bytes = [(name.encode(errors="replace"), value) for name, value in pairs]
    assert _outcome(native.from_kafka, named_in_bytes) == _outcome(python.from_kafka, named_in_bytes)
    assert _outcome(native.producer_in, wrap(pairs)) == _outcome(python.producer_in, wrap(pairs))


@given(pairs=_PAIRS, formats=_FORMATS, wrap=st.sampled_from([list, tuple, iter]))
@example(pairs=[("traceparent", _GOOD)], formats=("tracecontext",), wrap=list)
def test_headers_of_http(compiled: ModuleType, pairs: list[Any], formats: tuple[str, ...], wrap: Any) -> None:
    python, native = _both(compiled, formats)
    raw = [
        (name.encode(errors="replace"), value.encode() if isinstance(value, str) else value) for name, value in pairs
    ]
    assert _outcome(native.from_http, wrap(raw)) == _outcome(python.from_http, wrap(raw))
    assert _outcome(native.from_http, wrap(pairs)) == _outcome(python.from_http, wrap(pairs))


def test_the_common_header_is_read_natively(compiled: ModuleType) -> None:
    for read, name in ((compiled.from_http, b"traceparent"), (compiled.from_kafka, "traceparent")):
        context = read([(name, _GOOD)])
        assert context[SPAN_KEY].get_span_context() == SpanContext(
            0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, True, TraceFlags(1)
        )
        assert read([]) is None


@given(context=st.one_of(values.CONTEXT, values.WRONG_CONTEXT))
def test_the_header_that_is_written(compiled: ModuleType, context: SpanContext) -> None:
    python, native = _both(compiled, ("tracecontext",))
    assert _outcome(native.traceparent, context) == _outcome(python.traceparent, context)


_CONTEXTS = st.builds(
    Context,
    st.fixed_dictionaries(
        {},
        optional={
            CORRELATION_KEY: st.sampled_from(["7d444840-9dc0-11d1-b245-5ffdce74fad2", "a", "", "größer", None, 5]),
            SPAN_KEY: values.CONTEXT.map(NonRecordingSpan),
            "another": st.just("kept"),
        },
    ),
)


@st.composite
def _spans(draw: st.DrawFn) -> Any:
    """A span of each kind that a propagator may get, and some things that are none."""
    context = draw(st.one_of(values.CONTEXT, values.CONTEXT, values.WRONG_CONTEXT))
    recorded = draw(st.sampled_from([RecordedSpan, NativeSpan, None]))
    if recorded is None:
        return draw(st.sampled_from([NonRecordingSpan(context), INVALID_SPAN, _Foreign(context)]))
    scope = InstrumentationScope("tests")
    return recorded("a", context, None, SpanKind.CLIENT, None, (), scope, Limits(), None, lambda _: None)


class _Foreign(NonRecordingSpan):
    """The span of another library."""


@given(pairs=_PAIRS, context=_CONTEXTS, span=st.one_of(_spans(), st.none()), formats=_FORMATS, wrap=_WRAP)
@example(pairs=[("status", b"new")], context=Context(), span=None, formats=("tracecontext",), wrap=list)
def test_the_headers_of_a_message_that_is_sent(
    compiled: ModuleType, pairs: list[Any], context: Context, span: Any, formats: tuple[str, ...], wrap: Any
) -> None:
    for entries in ((), ("user",)):
        python, native = (Propagator(formats, _REDACTOR, entries, part) for part in (None, compiled))
        expected = _outcome(python.to_kafka, wrap(pairs), context, span)
        assert _outcome(native.to_kafka, wrap(pairs), context, span) == expected


@given(context=_CONTEXTS, span=_spans())
def test_the_answer_to_a_request(compiled: ModuleType, context: Context, span: Any) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("uuid.uuid4", lambda: uuid.UUID(int=7))
        python, native = _both(compiled, ("tracecontext",))
        assert _outcome(native.answer, context, span) == _outcome(python.answer, context, span)


def test_the_common_headers_are_written_natively(compiled: ModuleType) -> None:
    context = compiled.from_http([(b"traceparent", _GOOD)])
    span = context[SPAN_KEY]
    assert compiled.to_kafka([("status", b"new"), ("Traceparent", b"old")], context, span) == [
        ("status", b"new"),
        ("traceparent", _GOOD),
    ]
    inner, headers = compiled.answer(context, span)
    assert headers == [(b"x-correlation-id", _GOOD[3:35]), (b"traceparent", _GOOD)]
    assert (inner[SPAN_KEY], inner[CORRELATION_KEY]) == (span, _GOOD[3:35].decode())
    for function, count in ((compiled.to_kafka, 3), (compiled.answer, 2)):
        with pytest.raises(TypeError, match="arguments"):
            function(*range(count + 1))


@given(headers=st.lists(st.one_of(st.tuples(_NAME, _VALUE), st.tuples(_NAME), st.lists(_NAME), st.none()), max_size=4))
def test_whether_headers_are_intact(compiled: ModuleType, headers: list[Any]) -> None:
    assert compiled.is_intact(headers) == _is_intact(headers)
    assert not compiled.is_intact(tuple(headers))


@pytest.mark.parametrize("wrong", [None, 5, (), (1, 2, 3, 4, 5, 6), "traceparent"])
def test_what_is_no_context_is_left_to_the_twin(compiled: ModuleType, wrong: object) -> None:
    written = compiled.traceparent(wrong)
    assert written is None or wrong == (1, 2, 3, 4, 5, 6)
