"""Context out of and into headers: round trips, and that nothing a peer sends can hurt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from service.tracing import propagation

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"

header_names = st.sampled_from(["traceparent", "tracestate", "baggage", "x-correlation-id", "TraceParent", "id"])
header_values = st.one_of(
    st.none(), st.binary(), st.text(), st.just(TRACEPARENT), st.just(b"\xff" * 9000), st.just("a=b," * 5000)
)


def _span_context(context: Context) -> SpanContext:
    return trace.get_current_span(context).get_span_context()


@given(
    trace_id=st.integers(1, 2**128 - 1),
    span_id=st.integers(1, 2**64 - 1),
    sampled=st.booleans(),
    correlation=st.from_regex(r"[A-Za-z0-9._:/+=-]{1,128}", fullmatch=True),
    item=st.text(max_size=50).map(str.strip),  # W3C baggage keeps no outer blanks
)
def test_round_trip_through_kafka_and_http(
    trace_id: int, span_id: int, sampled: bool, correlation: str, item: str
) -> None:
    sent = SpanContext(
        trace_id, span_id, is_remote=False, trace_flags=TraceFlags(int(sampled)), trace_state=TraceState([("v", "1")])
    )
    context = trace.set_span_in_context(NonRecordingSpan(sent), Context())
    context = baggage.set_baggage("item", item, propagation.with_correlation_id(context, correlation))
    over_kafka = propagation.from_kafka(propagation.to_kafka([("id", b"1")], context))
    over_http = propagation.from_http(
        [(name.encode(), value.encode()) for name, value in propagation.inject(context).items()]
    )
    for received in (over_kafka, over_http):
        got = _span_context(received)
        assert (got.trace_id, got.span_id, got.trace_flags) == (trace_id, span_id, sent.trace_flags)
        assert got.is_remote
        assert got.trace_state == sent.trace_state
        assert propagation.correlation_id(received) == correlation
        assert baggage.get_baggage("item", received) == item


@given(st.lists(st.tuples(header_names, header_values)))
def test_no_kafka_header_raises(headers: list[tuple[str, str | bytes | None]]) -> None:
    received = propagation.from_kafka(headers)
    assert isinstance(received, dict)
    propagation.to_kafka(headers, received)


@given(st.lists(st.tuples(st.binary(), st.binary())))
def test_no_http_header_raises(headers: list[tuple[bytes, bytes]]) -> None:
    propagation.from_http(headers)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"garbage",
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"ff-{TRACE}-{SPAN}-01".encode(),
        f"00-{TRACE.upper()}-{SPAN}-01".encode(),
        TRACEPARENT.encode() + b"-extra",
        TRACEPARENT.encode("utf-16"),
        None,
    ],
)
def test_malformed_traceparent_is_no_context(value: bytes | None) -> None:
    assert not _span_context(propagation.from_kafka([("traceparent", value)])).is_valid


def test_header_names_in_any_case_and_the_last_of_a_repeated_one() -> None:
    other = f"00-{'1' * 32}-{SPAN}-01".encode()
    received = propagation.from_kafka([("TRACEPARENT", other), ("TraceParent", TRACEPARENT.encode())])
    assert propagation.trace_id(received) == TRACE


def test_two_traceparents_over_http_are_none() -> None:
    header = (b"traceparent", TRACEPARENT.encode())
    assert propagation.trace_id(propagation.from_http([header])) == TRACE
    assert propagation.trace_id(propagation.from_http([header, header])) is None


def test_older_context_in_a_message_is_replaced() -> None:
    context = propagation.from_kafka([("traceparent", TRACEPARENT.encode())])
    headers = propagation.to_kafka([("traceparent", b"old"), ("Baggage", b"a=b"), ("id", b"7")], context)
    assert headers == [("id", b"7"), ("traceparent", TRACEPARENT.encode())]


def test_strangers_get_ids_only() -> None:
    context = propagation.from_kafka(
        [("traceparent", TRACEPARENT.encode()), ("baggage", b"user=ada"), ("x-correlation-id", b"c")]
    )
    assert propagation.inject(context, trusted=False) == {"traceparent": TRACEPARENT}
    assert set(propagation.inject(context)) == {"traceparent", "baggage", "x-correlation-id"}


@pytest.mark.parametrize("value", [b"", b"two words", b"line\nbreak", b"x" * 129, b"\xff"])
def test_unusable_correlation_id_is_replaced(value: bytes) -> None:
    received = propagation.from_kafka([("x-correlation-id", value), ("traceparent", TRACEPARENT.encode())])
    assert propagation.correlation_id(propagation.ensure_correlation_id(received)) == TRACE
