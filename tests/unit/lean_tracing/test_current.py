"""The shortcuts around OpenTelemetry's context do what its API does."""

import contextvars

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span, SpanContext, TraceFlags

from lean_tracing.current import attach, current_span, detach, get_current, with_span
from lean_tracing.testing import Recorder


class _ForeignSpan(NonRecordingSpan):
    """A span of another library."""


def _spans(recorder: Recorder) -> list[Span]:
    context = SpanContext(1, 2, True, TraceFlags(1))
    return [recorder.traces.start("own"), NonRecordingSpan(context), _ForeignSpan(context)]


def test_a_span_is_where_the_api_looks_for_it() -> None:
    with Recorder() as recorder:
        for span in _spans(recorder):
            context = with_span(span, Context({"other": 1}))
            assert context == trace.set_span_in_context(span, Context({"other": 1}))
            assert type(context) is Context
            assert trace.get_current_span(context) is current_span(context) is span


def test_without_a_context_the_current_one_counts() -> None:
    assert current_span() is INVALID_SPAN
    with Recorder() as recorder, recorder.traces.span("outer") as outer:
        assert current_span() is trace.get_current_span() is outer
        inner = recorder.traces.start("inner")
        assert with_span(inner) == trace.set_span_in_context(inner, otel_context.get_current())
        assert current_span(Context()) is INVALID_SPAN


def test_what_is_no_span_is_none() -> None:
    (key,) = trace.set_span_in_context(INVALID_SPAN, Context())
    assert current_span(Context({key: "text"})) is INVALID_SPAN


def test_a_span_context_is_equal_to_one_of_the_api() -> None:
    with Recorder() as recorder:
        own = recorder.traces.start("own").get_span_context()
    same = SpanContext(own.trace_id, own.span_id, own.is_remote, own.trace_flags, own.trace_state)
    assert type(own) is SpanContext
    assert tuple(own) == tuple(same)
    assert own.is_valid


def test_a_context_is_current_for_the_api_as_well(caplog: pytest.LogCaptureFixture) -> None:
    previous, own = otel_context.get_current(), Context({"own": 1})
    token = attach(own)
    assert get_current() is otel_context.get_current() is own
    contextvars.copy_context().run(detach, token)
    assert [record.getMessage() for record in caplog.records] == ["Failed to detach context"]
    assert get_current() is own
    detach(token)
    assert get_current() is otel_context.get_current() is previous
