"""The native part writes the same bytes as its twins in Python, and fails as they fail."""

import contextlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from lean_tracing.encoding import AttributeEncoder, _Filter
from lean_tracing.log_encoder import LogEncoder, LogEntry
from lean_tracing.redaction import Redactor
from lean_tracing.redaction.redactor import _may_hold_something
from lean_tracing.sampling import TraceSampler
from lean_tracing.shared_attributes import SharedAttributes
from lean_tracing.span import Limits, RecordedSpan
from lean_tracing.span_encoder import SpanEncoder
from lean_tracing.spans import TraceManager
from lean_tracing.statistics import SpanCounts
from lean_tracing.tracer import LeanTracer, TracerParts
from tests.process.lean_tracing.native import values

_RESOURCE = Resource({"service.name": "under-test", "process.pid": 7})
_KEY = "a key for tests"
_LENGTHS = (None, 1, 5, 100, 16_384)


def _outcome(function: Callable[..., object], *arguments: object) -> object:
    try:
        return function(*arguments)
    except Exception as error:
        return type(error), str(error)


class _Pair:
    """The encoders of both kinds. They live through all examples, so that their caches fill and are read."""

    def __init__(self, compiled: ModuleType) -> None:
        redactors = Redactor(_KEY), Redactor(_KEY, compiled.is_harmless)
        both = tuple(zip(redactors, (None, compiled), strict=True))
        self.attributes = {
            length: [AttributeEncoder(b"\x4a", one, _Filter(values.DROPPED), length, native) for one, native in both]
            for length in _LENGTHS
        }
        self.spans = [SpanEncoder(_RESOURCE, one, values.DROPPED, 100, native) for one, native in both]
        self.logs = [LogEncoder(_RESOURCE, one, values.DROPPED, 100, native) for one, native in both]


@pytest.fixture(scope="module")
def pair(compiled: ModuleType) -> _Pair:
    return _Pair(compiled)


@given(data=st.data(), length=st.sampled_from(_LENGTHS), attributes=values.ATTRIBUTES)
def test_attributes(pair: _Pair, data: st.DataObject, length: int | None, attributes: Mapping[Any, Any]) -> None:
    python, native = pair.attributes[length]
    mapping = data.draw(values.mappings(attributes))
    for _ in range(2):  # the second time from the caches
        assert _outcome(native.encode, mapping) == _outcome(python.encode, mapping)
    assert native.encode(None) == native.encode({}) == b""


@given(attributes=values.ATTRIBUTES)
def test_shared_attributes(pair: _Pair, attributes: Mapping[Any, Any]) -> None:
    python, native = pair.attributes[100]
    first, second = SharedAttributes(attributes), SharedAttributes(attributes)
    assert _outcome(native.encode_shared, first) == _outcome(python.encode_shared, second)


@given(span=values.spans())
def test_spans(pair: _Pair, span: RecordedSpan) -> None:
    python, native = pair.spans
    expected = _outcome(python.item, span)
    if span.shared_attributes is not None:
        span.shared_attributes.encoded = None
    assert _outcome(native.item, span) == expected
    assert _outcome(native.item, span) == expected


@given(span=values.spans())
def test_a_span_at_its_end_is_written_alike_or_left_alone(pair: _Pair, span: RecordedSpan) -> None:
    python, native = pair.spans
    expected = _outcome(python.item, span)
    if span.shared_attributes is not None:
        span.shared_attributes.encoded = None
    for _ in range(2):  # the second time with what the exporting thread has learned
        taken: list[Any] = []
        native.hand_over_to(taken.append)(span)
        (item,) = taken
        assert _outcome(native.item, item) == expected


def test_a_common_span_is_written_at_its_end_and_any_other_by_the_exporting_thread(compiled: ModuleType) -> None:
    """The code that ends a span never waits for Python's redaction."""
    encoder = SpanEncoder(_RESOURCE, Redactor(_KEY, compiled.is_harmless), native=compiled)
    taken: list[Any] = []
    parts = TracerParts(TraceSampler(1.0), Limits(), SpanCounts(), encoder.hand_over_to(taken.append))
    traces = TraceManager(LeanTracer(InstrumentationScope("tests"), parts), Redactor(_KEY), native=compiled)
    shared = SharedAttributes({"db.system.name": "postgresql"})

    def is_written_at_its_end(attributes: Mapping[str, Any], *, fails: bool = False) -> bool:
        taken.clear()
        with contextlib.suppress(KeyError), traces.span("GET /items", attributes=shared) as span:
            span.set_attributes(attributes)
            if fails:
                raise KeyError
        (item,) = taken
        encoder.item(item)
        return item is not span

    common = {"task.status": "new", "attempt": 1, "price": 0.7, "first": True}
    assert not is_written_at_its_end(common), "the keys are not known yet"
    assert is_written_at_its_end(common)
    for unusual in ({"note": "größer"}, {"list": [1]}, {"text": "word " * 1000}, {"email": "ada@example.com"}):
        assert not is_written_at_its_end(unusual), unusual
    assert not is_written_at_its_end({"email": "ada@example.com"}), "what is redacted is in no cache"
    assert not is_written_at_its_end(common, fails=True)
    assert encoder.hand_over_to(taken.append) is not taken.append
    assert SpanEncoder(_RESOURCE, Redactor(_KEY)).hand_over_to(taken.append) == taken.append


def test_spans_that_are_written_at_their_end_keep_their_scopes(compiled: ModuleType) -> None:
    encoder = SpanEncoder(_RESOURCE, Redactor(_KEY, compiled.is_harmless), native=compiled)
    taken: list[Any] = []
    parts = TracerParts(TraceSampler(1.0), Limits(), SpanCounts(), encoder.hand_over_to(taken.append))
    scopes = [InstrumentationScope(name) for name in ("usual", "other", "usual", "third")]
    spans = [TraceManager(LeanTracer(scope, parts), Redactor(_KEY), native=compiled).start("a") for scope in scopes]
    for span in spans:
        span.end()
    assert not any(isinstance(item, RecordedSpan) for item in taken)
    expected = [encoder.in_python(span) for span in spans if isinstance(span, RecordedSpan)]
    assert [encoder.item(item) for item in taken] == expected


@given(body=values.TEXT, attributes=values.ATTRIBUTES)
def test_log_records(pair: _Pair, body: str, attributes: Mapping[Any, Any]) -> None:
    entry = LogEntry(
        time_ns=5,
        severity=9,
        severity_text="INFO",
        body=body,
        attributes=attributes,
        trace_id=7,
        span_id=8,
        trace_flags=1,
    )
    python, native = pair.logs
    assert _outcome(native.item, entry) == _outcome(python.item, entry)


@given(text=st.one_of(values.PIECED, values.TEXT))
@example("a', b'word and more of it")
@example("paid with 4111 1111 1111 1111 today")
@example("x" * 19 + " ghp_0123456789abcdefghij")
def test_the_first_look_misses_nothing(compiled: ModuleType, text: str) -> None:
    if compiled.is_harmless(text):
        assert len(text) < 5 or not _may_hold_something(text)


@pytest.mark.parametrize(
    "text",
    [
        "new",
        "0000002a-9dc0-41d1-b245-5ffdce74fad2",
        "/api/tasks/{id}",
        "SELECT a, b FROM tasks WHERE id IN (?, ?)",
        "2026-11-30T10:11:12"[:10],
        "web-crawl-service on the stack",
    ],
)
def test_the_first_look_knows_what_is_common(compiled: ModuleType, text: str) -> None:
    assert compiled.is_harmless(text)


def test_a_value_that_is_no_text_is_not_harmless(compiled: ModuleType) -> None:
    assert not any(map(compiled.is_harmless, (None, 5, b"bytes", values.Text("text"))))


@given(text=values.TEXT, name=values.PIECED, limit=st.sampled_from([None, 3, 2000]))
def test_the_redactor_with_the_first_look(compiled: ModuleType, text: str, name: str, limit: int | None) -> None:
    python, native = Redactor(_KEY), Redactor(_KEY, compiled.is_harmless)
    assert native.text(text, limit) == python.text(text, limit)
    assert native.named(name, text, limit) == python.named(name, text, limit)


def test_a_mapping_that_changes_meanwhile(pair: _Pair) -> None:
    attributes: dict[str, object] = {}

    class Growing:
        def __str__(self) -> str:
            attributes[f"more {len(attributes)}"] = 1
            return "grown"

    for encoder in pair.attributes[None]:
        attributes.clear()
        attributes.update({"first": Growing(), "second": 2})
        with pytest.raises(RuntimeError, match="dictionary changed size during iteration"):
            encoder.encode(attributes)
