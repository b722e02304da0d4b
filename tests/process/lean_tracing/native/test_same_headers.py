"""The native part reads and writes the headers of a trace as its twins in Python."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, TraceFlags

from lean_tracing.current import SPAN_KEY
from lean_tracing.propagation import Propagator
from lean_tracing.redaction import Redactor
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


@given(pairs=_PAIRS, formats=_FORMATS, wrap=st.sampled_from([list, tuple, lambda pairs: list(map(list, pairs))]))
@example(pairs=[("traceparent", _GOOD)], formats=("tracecontext",), wrap=list)
@example(pairs=[("traceparent", _GOOD)] * 2, formats=("tracecontext",), wrap=list)
def test_headers_of_kafka(compiled: ModuleType, pairs: list[Any], formats: tuple[str, ...], wrap: Any) -> None:
    python, native = _both(compiled, formats)
    assert _outcome(native.from_kafka, wrap(pairs)) == _outcome(python.from_kafka, wrap(pairs))
    named_in_bytes = [(name.encode(errors="replace"), value) for name, value in pairs]
    assert _outcome(native.from_kafka, named_in_bytes) == _outcome(python.from_kafka, named_in_bytes)


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


@pytest.mark.parametrize("wrong", [None, 5, (), (1, 2, 3, 4, 5, 6), "traceparent"])
def test_what_is_no_context_is_left_to_the_twin(compiled: ModuleType, wrong: object) -> None:
    written = compiled.traceparent(wrong)
    assert written is None or wrong == (1, 2, 3, 4, 5, 6)
