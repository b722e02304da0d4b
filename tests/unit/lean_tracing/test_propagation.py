"""Contexts read from headers and written to them: round trips, and no harm from the headers of a peer."""

import re
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from lean_tracing import propagation
from lean_tracing.propagation import Propagator
from lean_tracing.redaction import Redactor
from lean_tracing.redaction.tokens import TOKENS

ENTRIES = ("a", "b", "item", "user", "long", *(f"k{number}" for number in range(100)))
PROPAGATOR = Propagator(redactor=Redactor("a key for tests"), baggage_entries=ENTRIES)

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
    correlation=st.from_regex(r"[A-Za-z][A-Za-z._-]{0,17}", fullmatch=True) | st.uuids().map(str),
    item=st.text("aß €\r%,;=", max_size=50).map(str.strip),  # W3C baggage keeps no outer blanks
)
def test_round_trip_through_kafka_and_http(
    trace_id: int, span_id: int, sampled: bool, correlation: str, item: str
) -> None:
    sent = SpanContext(
        trace_id, span_id, is_remote=False, trace_flags=TraceFlags(int(sampled)), trace_state=TraceState([("v", "1")])
    )
    context = trace.set_span_in_context(NonRecordingSpan(sent), Context())
    context = baggage.set_baggage("item", item, propagation.with_correlation_id(context, correlation))
    over_kafka = PROPAGATOR.from_kafka(PROPAGATOR.to_kafka([("id", b"1")], context))
    over_http = PROPAGATOR.from_http(
        [(name.encode(), value.encode()) for name, value in PROPAGATOR.inject(context).items()]
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
    received = PROPAGATOR.from_kafka(headers)
    assert isinstance(received, dict)
    PROPAGATOR.to_kafka(headers, received)


@given(st.lists(st.tuples(st.binary(), st.binary())))
def test_no_http_header_raises(headers: list[tuple[bytes, bytes]]) -> None:
    PROPAGATOR.from_http(headers)


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
    assert not _span_context(PROPAGATOR.from_kafka([("traceparent", value)])).is_valid


@given(
    st.sampled_from([TRACEPARENT, f" {TRACEPARENT}", f"{TRACEPARENT}-more", f"01{TRACEPARENT[2:]}-more", "", "00-"]),
    st.integers(0, 60),
    st.binary(max_size=2),
)
def test_a_traceparent_alone_is_read_alike_over_http_and_kafka(value: str, place: int, put: bytes) -> None:
    changed = value[:place].encode() + put + value[place + len(put) :].encode()
    over_http = PROPAGATOR.from_http([(b"host", b"x"), (b"TraceParent", changed)])
    over_kafka = PROPAGATOR.from_kafka([("traceparent", changed)])
    assert _span_context(over_http) == _span_context(over_kafka)
    assert _span_context(over_http).is_valid == bool(over_http)


@pytest.mark.parametrize("later", [b"", b"broken", None, b"\xff", f"ff-{TRACE}-{SPAN}-01".encode(), b"x" * 9000])
def test_header_names_in_any_case_and_the_last_valid_of_a_repeated_one(later: bytes | None) -> None:
    other = f"00-{'1' * 32}-{SPAN}-01".encode()
    received = PROPAGATOR.from_kafka(
        [("TRACEPARENT", other), ("TraceParent", TRACEPARENT.encode()), ("traceparent", later)]
    )
    assert propagation.trace_id(received) == TRACE


@pytest.mark.parametrize("value", [f" {TRACEPARENT}\t", f"01-{TRACE}-{SPAN}-01-later", f"cc-{TRACE}-{SPAN}-01"])
def test_blanks_and_later_versions_are_accepted(value: str) -> None:
    assert propagation.trace_id(PROPAGATOR.from_kafka([("traceparent", value)])) == TRACE


def _forwarded(name: str, *values: str) -> dict[str, str]:
    """The headers that go out after these came in together with a valid traceparent."""
    headers = [(b"traceparent", TRACEPARENT.encode()), *((name.encode(), value.encode()) for value in values)]
    return PROPAGATOR.inject(PROPAGATOR.from_http(headers))


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (("a=1,b=2",), "a=1,b=2"),
        (("a=1", "b=2"), "a=1,b=2"),
        (("t@v=1 , ,b=2",), "t@v=1,b=2"),
        ((",".join(f"k{number}=1" for number in range(32)),), ",".join(f"k{number}=1" for number in range(32))),
        ((",".join(f"k{number}=1" for number in range(33)),), None),
        (("a=" + "x" * 257,), None),
        (("a=1,a=1,b=2",), "a=1,b=2"),
        (("a=1", "b=2,a=2"), "a=1,b=2"),
        (("a@=1,b@@c=2,d@e@f=3",), "a@=1,b@@c=2,d@e@f=3"),
        ((f"{'t' * 242}@v=1,{'t' * 241}@{'v' * 14}=2",), f"{'t' * 242}@v=1,{'t' * 241}@{'v' * 14}=2"),
        ((f"{'t' * 257}=1,a=1",), None),
        (("@a=1,b=2",), None),
        (("a=1,b",), None),
        (("a=1,b=c=d",), None),
        (("A=1",), None),
        (("a=1\r\nset-cookie: x",), None),
        (("a=\u00e9",), None),
    ],
)
def test_tracestate_is_carried_unless_it_is_malformed(values: tuple[str, ...], kept: str | None) -> None:
    out = _forwarded("tracestate", *values)
    assert out["traceparent"] == TRACEPARENT
    assert out.get("tracestate") == kept


def _member(name: str, length: int) -> str:
    return f"{name}={'x' * (length - len(name) - 1)}"


@pytest.mark.parametrize(
    ("members", "kept"),
    [
        ([_member("a", 256), _member("b", 255)], ["a", "b"]),
        ([_member("a", 256), _member("b", 256)], ["a"]),
        ([_member(name, 100) for name in "abcdefgh"], ["a", "b", "c", "d", "e"]),
        # A long member is removed before any short one, and the last long one before the first.
        ([_member("a", 129), *(_member(name, 100) for name in "bcde")], ["b", "c", "d", "e"]),
        ([_member("a", 128), *(_member(name, 100) for name in "bcde")], ["a", "b", "c", "d"]),
        ([_member("a", 200), _member("b", 100), _member("c", 200), _member("d", 100)], ["a", "b", "d"]),
    ],
)
def test_of_a_long_tracestate_members_are_removed(members: list[str], kept: list[str]) -> None:
    header = _forwarded("tracestate", ",".join(members))["tracestate"]
    assert len(header) <= 512
    assert header.split(",") == [member for member in members if member[0] in kept]


def test_a_carried_tracestate_has_the_methods_of_every_other() -> None:
    context = PROPAGATOR.from_http([(b"traceparent", TRACEPARENT.encode()), (b"tracestate", b"a@=1,b=2")])
    state = _span_context(context).trace_state
    assert dict(state) == {"a@": "1", "b": "2"}
    assert state.to_header() == "a@=1,b=2"
    assert state.add("c", "3").to_header() == "c=3,a@=1,b=2"
    assert state.add("b", "3").to_header() == "a@=1,b=2"
    assert state.add("C", "3").to_header() == "a@=1,b=2"
    assert state.update("b", "3").to_header() == "b=3,a@=1"
    assert state.delete("a@").to_header() == "b=2"
    full = state
    for number in range(40):
        full = full.add(f"k{number}", "1")
    assert len(full) == 32


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (("a=1,b=2",), "a=1,b=2"),
        (("a=1", "b=2"), "a=1,b=2"),
        (("a = 1;secret=no , broken, =x, b=%20+",), "a=1,b=%20%2B"),
        ((",".join(f"k{number}=1" for number in range(70)),), ",".join(f"k{number}=1" for number in range(64))),
        (("a=" + "x" * 8190,), "a=" + "x" * 8190),
        (("a=" + "x" * 8191,), None),
        (("a=1", "b=" + "x" * 8190), None),
        (("a=1\nb",), None),
        (("broken",), None),
    ],
)
def test_baggage_is_carried_within_the_limits(values: tuple[str, ...], kept: str | None) -> None:
    assert _forwarded("baggage", *values).get("baggage") == kept


def test_own_baggage_beyond_the_limits_is_cut_not_refused() -> None:
    context = Context()
    for number in range(100):
        context = baggage.set_baggage(f"k{number}", "\u00e9\r\n", context)
    header = PROPAGATOR.inject(context)["baggage"]
    assert header.count(",") == 63
    assert header.isascii()
    assert header.isprintable()
    assert len(PROPAGATOR.inject(baggage.set_baggage("long", "x" * 9000, Context()))) == 0


@given(st.lists(st.tuples(header_names, header_values)))
def test_nothing_unsafe_or_invalid_is_let_in(headers: list[tuple[str, str | bytes | None]]) -> None:
    received = PROPAGATOR.from_kafka(headers)
    context = _span_context(received)
    assert context.is_valid or context == trace.INVALID_SPAN_CONTEXT
    for value in PROPAGATOR.inject(received).values():
        assert value.isascii()
        assert value.isprintable()


@given(st.lists(st.tuples(st.none() | st.integers() | st.text() | header_names, st.integers() | st.binary())))
def test_headers_of_wrong_types_are_ignored(headers: list[tuple[str, bytes]]) -> None:
    PROPAGATOR.from_kafka(headers)


def test_formats_are_chosen() -> None:
    everything = [("traceparent", TRACEPARENT), ("baggage", "a=b"), ("x-correlation-id", "c")]
    context = PROPAGATOR.from_kafka(everything)
    for formats, names in (
        (("tracecontext",), {"traceparent"}),
        (("baggage",), {"baggage"}),
        ((), set[str]()),
    ):
        propagator = propagation.Propagator(formats, baggage_entries=ENTRIES)
        assert set(propagator.inject(context)) == names | {"x-correlation-id"}
        assert set(PROPAGATOR.inject(propagator.from_kafka(everything))) == names | {"x-correlation-id"}


def test_two_traceparents_over_http_are_none() -> None:
    header = (b"traceparent", TRACEPARENT.encode())
    assert propagation.trace_id(PROPAGATOR.from_http([header])) == TRACE
    assert propagation.trace_id(PROPAGATOR.from_http([header, header])) is None


def test_older_context_in_a_message_is_replaced() -> None:
    context = PROPAGATOR.from_kafka([("traceparent", TRACEPARENT.encode())])
    headers = PROPAGATOR.to_kafka([("traceparent", b"old"), ("Baggage", b"a=b"), ("id", b"7")], context)
    assert headers == [("id", b"7"), ("traceparent", TRACEPARENT.encode())]


def test_untrusted_peers_get_ids_only() -> None:
    context = PROPAGATOR.from_kafka(
        [("traceparent", TRACEPARENT.encode()), ("baggage", b"user=ada"), ("x-correlation-id", b"c")]
    )
    assert PROPAGATOR.inject(context, trusted=False) == {"traceparent": TRACEPARENT}
    assert set(PROPAGATOR.inject(context)) == {"traceparent", "baggage", "x-correlation-id"}


PLANTED = [
    "ada@example.com",
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.abc",
    "4111111111111111",
    f"wct_{'0aB-' * 11}",
    "password=hunter22",
    "Bearer k8Zt0qW3xY7uB2nM",
    *("".join(token.hit.partition("«")[2].partition("»")[0]) for token in TOKENS),
]


def test_only_the_named_entries_of_baggage_are_carried_and_they_are_redacted() -> None:
    header = [(b"baggage", b"user=ada%40example.com,tenant=7,a=plain")]
    assert PROPAGATOR.inject(Propagator().from_http(header)) == {}
    for context in (PROPAGATOR.from_http(header), PROPAGATOR.from_kafka([("baggage", header[0][1])])):
        assert baggage.get_baggage("tenant", context) is None
        carried = PROPAGATOR.inject(baggage.set_baggage("own", "x", context))
        assert list(carried) == ["baggage"]
        assert re.fullmatch("user=email%3A[0-9a-f]{16},a=plain", carried["baggage"]), carried


@pytest.mark.parametrize("secret", PLANTED)
def test_no_secret_of_a_peer_is_carried(secret: str) -> None:
    encoded = quote(secret, safe="")
    headers = {"traceparent": TRACEPARENT, "baggage": f"user={encoded},x=1", "tracestate": f"v=1,w={encoded}"}
    for correlation in (secret, encoded):
        sent = [
            (name.encode(), value.encode()) for name, value in (*headers.items(), ("x-correlation-id", correlation))
        ]
        context = PROPAGATOR.from_http(sent)
        out = PROPAGATOR.inject(context)
        assert set(out) == {"traceparent", "baggage"}
        assert secret not in unquote(out["baggage"])
        assert propagation.correlation_id(propagation.ensure_correlation_id(context)) == TRACE


@pytest.mark.parametrize(
    "value",
    [
        "order-4711",
        "0" * 32,
        "5f0c3a52-6d0f-4b8e-9a38-8a3c5b7e1d24",
        "a" * 64,
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "req_7.a",
        TRACE,
    ],
)
def test_a_plain_correlation_id_is_taken_over(value: str) -> None:
    assert propagation.correlation_id(PROPAGATOR.from_kafka([("x-correlation-id", value)])) == value


@pytest.mark.parametrize(
    "value", [b"", b"two words", b"line\nbreak", b"x" * 37, b"a" * 65, b"http://x/", b"u:p", b"\xff"]
)
def test_unusable_correlation_id_is_replaced(value: bytes) -> None:
    received = PROPAGATOR.from_kafka([("x-correlation-id", value), ("traceparent", TRACEPARENT.encode())])
    assert propagation.correlation_id(propagation.ensure_correlation_id(received)) == TRACE
