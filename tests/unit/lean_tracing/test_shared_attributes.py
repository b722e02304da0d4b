"""Spans that share attributes show the same as spans with attributes of their own."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from lean_tracing.redaction import Redactor
from lean_tracing.shared_attributes import SharedAttributes
from lean_tracing.span import Limits, RecordedSpan
from lean_tracing.span_encoder import SpanEncoder

RESOURCE = Resource({"service.name": "under-test"})
TEXTS = st.text(max_size=30) | st.just("ada@example.com")
VALUES = TEXTS | st.integers(-(2**70), 2**70) | st.booleans() | st.floats()
ATTRIBUTES = st.dictionaries(st.sampled_from(["a", "b", "user.email", "password", "pin", "x.y"]), VALUES)


class Topic(StrEnum):
    """A text of another type."""

    ORDERS = "orders"


def _span(start: Mapping[str, Any], later: Mapping[str, Any], limits: Limits) -> RecordedSpan:
    context = SpanContext(1, 2, False, TraceFlags(1))
    span = RecordedSpan("work", context, None, SpanKind.INTERNAL, start, (), None, limits, 1, lambda _: None)  # type: ignore[arg-type]
    for key, value in later.items():
        span.set_attribute(key, value)
    span.end(2)
    return span


def _encoder() -> SpanEncoder:
    return SpanEncoder(RESOURCE, Redactor("a key for tests"), dropped=["x.*"])


@given(ATTRIBUTES, ATTRIBUTES, st.integers(0, 6), st.sampled_from([3, 20, 16_384]))
def test_they_are_exported_like_attributes_of_its_own(
    start: dict[str, Any], later: dict[str, Any], count: int, length: int
) -> None:
    limits = Limits(attributes=count, value_length=length)
    own, shared = _span(start, later, limits), _span(SharedAttributes(start), later, limits)
    assert shared.dropped_attributes == own.dropped_attributes
    assert repr(shared.attributes) == repr(own.attributes)
    encoder = _encoder()
    assert encoder([shared]) == encoder([shared]) == _encoder()([own])


def test_each_encoder_redacts_them_with_its_own_key() -> None:
    span = _span(SharedAttributes({"note": "ask ada@example.com"}), {}, Limits())
    first, second = _encoder(), SpanEncoder(RESOURCE, Redactor("another key for tests"))
    assert first([span]) != second([span])
    assert first([span]) == _encoder()([span])


def test_one_span_may_replace_a_value() -> None:
    shared = SharedAttributes({"a": 1, "b": 2})
    changed, other = _span(shared, {"a": 3}, Limits()), _span(shared, {}, Limits())
    assert changed.attributes == {"a": 3, "b": 2}
    assert other.attributes == {"a": 1, "b": 2}
    assert shared == {"a": 1, "b": 2}
    sent = ExportTraceServiceRequest.FromString(_encoder()([changed])).resource_spans[0].scope_spans[0].spans[0]
    assert [item.key for item in sent.attributes] == ["a", "b"]


@pytest.mark.parametrize("value", [Topic.ORDERS, ["a"], {"a": 1}, None, b"a"])
def test_values_that_may_change_are_not_shared(value: Any) -> None:
    shared = SharedAttributes({"a": value})
    span = _span(shared, {}, Limits())
    assert span.shared_attributes is None
    assert repr(span.attributes) == repr(_span({"a": value}, {}, Limits()).attributes)


def test_set_attributes_replaces_shared_ones_too() -> None:
    context = SpanContext(1, 2, False, TraceFlags(1))
    shared = SharedAttributes({"a": 1})
    span = RecordedSpan("work", context, None, SpanKind.INTERNAL, shared, (), None, Limits(), 1, lambda _: None)  # type: ignore[arg-type]
    span.set_attributes({"c": 3})
    span.set_attributes({"a": 2, "b": 4})
    assert span.attributes == {"a": 2, "c": 3, "b": 4}
