"""The library's bytes, read by OpenTelemetry's generated classes, are equal to those of the SDK's encoder."""

import string
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from lean_tracing.log_encoder import LogEncoder, LogEntry
from lean_tracing.readable_span import to_readable_span
from lean_tracing.redaction import Redactor
from lean_tracing.span import Limits, RecordedSpan
from lean_tracing.span_encoder import SpanEncoder

RESOURCE = Resource({"service.name": "under-test", "process.pid": 7})
REDACTOR = Redactor("a key for tests")


def _context(number: int, *, remote: bool = False, state: TraceState | None = None) -> SpanContext:
    return SpanContext(number << 64 | number, number, remote, TraceFlags(TraceFlags.SAMPLED), state or TraceState())


def _span(
    *,
    name: str = "work",
    parent: SpanContext | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, Any] | None = None,
    events: Sequence[tuple[str, Mapping[str, Any], int]] = (),
    links: Sequence[Link] = (),
    status: Status | None = None,
    scope: InstrumentationScope | None = None,
    state: TraceState | None = None,
    start: int = 1_700_000_000_000_000_000,
) -> RecordedSpan:
    scope = scope or InstrumentationScope("tests", "1.2")
    context = _context(0xABCDEF, state=state)
    span = RecordedSpan(name, context, parent, kind, attributes, links, scope, Limits(), start, lambda _: None)
    for event in events:
        span.add_event(*event)
    if status is not None:
        span.set_status(status)
    span.end(1_700_000_000_123_456_789)
    return span


def _same(*spans: RecordedSpan, encoder: SpanEncoder | None = None) -> None:
    ours = ExportTraceServiceRequest.FromString((encoder or SpanEncoder(RESOURCE, REDACTOR))(spans))
    for part in ours.resource_spans:
        for scope in part.scope_spans:
            for span in scope.spans:
                for flagged in (span, *span.links):  # the stock encoder leaves out W3C's flags
                    flagged.flags &= ~0xFF
    assert ours == encode_spans([to_readable_span(span, RESOURCE) for span in spans])


def test_a_plain_span() -> None:
    _same(_span())


def test_everything_a_span_may_hold() -> None:
    state = TraceState([("vendor", "value"), ("other", "1")])
    attributes = {
        "text": "Größe 漢字 🎉",
        "empty": "",
        "true": True,
        "false": False,
        "zero": 0,
        "negative": -1,
        "smallest": -(2**63),
        "largest": 2**63 - 1,
        "float": 1.5,
        "texts": ("a", "b"),
        "numbers": (1, 2, 3),
        "flags": (True, False),
        "floats": (0.5, -2.25),
        "none": (),
    }
    _same(
        _span(
            name="GET /api/tasks/{id}",
            kind=SpanKind.SERVER,
            parent=_context(5, remote=True),
            state=state,
            attributes=attributes,
            events=[("stored", {"n": 1, "text": "x"}, 1_700_000_000_000_000_001), ("bare", {}, 2)],
            links=[Link(_context(9, remote=True), {"why": "batch"}), Link(_context(10))],
            status=Status(StatusCode.ERROR, "went wrong"),
        ),
        _span(kind=SpanKind.CONSUMER, parent=_context(7), status=Status(StatusCode.OK)),
    )


@pytest.mark.parametrize(
    ("own", "parent", "flags"),
    [
        (0, None, 0x100),
        (1, None, 0x101),
        (3, None, 0x103),
        (3, False, 0x103),
        (3, True, 0x303),
        (1, True, 0x301),
        (0x1FF, None, 0x1FF),
    ],
)
def test_flags_hold_those_of_w3c_and_where_the_parent_is(own: int, parent: bool | None, flags: int) -> None:
    context = SpanContext(0xABCDEF, 5, False, TraceFlags(own))
    above = None if parent is None else SpanContext(0xABCDEF, 6, parent, TraceFlags(0))
    span = RecordedSpan("work", context, above, SpanKind.INTERNAL, None, (), None, Limits(), 1, lambda _: None)  # type: ignore[arg-type]
    span.end(2)
    request = ExportTraceServiceRequest.FromString(SpanEncoder(RESOURCE, REDACTOR)([span]))
    assert hex(request.resource_spans[0].scope_spans[0].spans[0].flags) == hex(flags)


@pytest.mark.parametrize(("own", "remote", "flags"), [(0, False, 0x100), (1, True, 0x301), (3, False, 0x103)])
def test_a_links_flags_are_those_of_the_span_it_leads_to(own: int, remote: bool, flags: int) -> None:
    span = _span(links=[Link(SpanContext(7, 8, remote, TraceFlags(own)))])
    request = ExportTraceServiceRequest.FromString(SpanEncoder(RESOURCE, REDACTOR)([span]))
    assert hex(request.resource_spans[0].scope_spans[0].spans[0].links[0].flags) == hex(flags)


def test_a_links_trace_state_is_kept_which_the_stock_encoder_leaves_out() -> None:
    span = _span(links=[Link(_context(9, state=TraceState([("vendor", "value")])))])
    request = ExportTraceServiceRequest.FromString(SpanEncoder(RESOURCE, REDACTOR)([span]))
    assert request.resource_spans[0].scope_spans[0].spans[0].links[0].trace_state == "vendor=value"


def test_a_long_text_and_many_spans() -> None:
    _same(*[_span(name=f"span {number}", attributes={"long": "x" * (number * 61)}) for number in range(300)])


def test_spans_of_several_scopes_stay_apart() -> None:
    other = InstrumentationScope("other")
    _same(_span(), _span(scope=other), _span(name="again"))


def test_equal_values_of_different_types_are_not_confused() -> None:
    encoder = SpanEncoder(RESOURCE, REDACTOR)
    for value in (1, True, 1.0, "1"):
        _same(_span(attributes={"value": value}), encoder=encoder)


# Letters only: what looks like a secret comes out redacted, which is tested elsewhere.
_HARMLESS = st.text(st.sampled_from(string.ascii_lowercase + "äöü漢 "), max_size=40)
_VALUES = st.one_of(
    _HARMLESS,
    st.booleans(),
    st.integers(-(10**11), 10**11),
    st.floats(-1e9, 1e9),
    st.lists(_HARMLESS, max_size=4).map(tuple),
    st.lists(st.integers(-(10**11), 10**11), max_size=4).map(tuple),
)


@given(
    name=_HARMLESS,
    attributes=st.dictionaries(st.text(st.sampled_from("abcdefg."), min_size=1, max_size=12), _VALUES, max_size=8),
    kind=st.sampled_from(SpanKind),
    start=st.integers(0, 2**63 - 1),
)
def test_any_span(name: str, attributes: dict[str, Any], kind: SpanKind, start: int) -> None:
    _same(_span(name=name, attributes=attributes, kind=kind, start=start))


_SECRET = "ada.lovelace@example.com"
_DSN = "postgresql://app:hunter2secret@db/tasks"


@given(prefix=_HARMLESS, suffix=_HARMLESS)
def test_no_planted_secret_is_in_the_bytes(prefix: str, suffix: str) -> None:
    text = f"{prefix} {_SECRET} {_DSN} {suffix}"
    span = _span(
        name=text,
        attributes={"note": text, "notes": (text, "x"), "user_email": _SECRET, "db.password": "hunter2secret"},
        events=[(text, {"exception.message": text}, 1)],
        links=[Link(_context(3), {"note": text})],
        status=Status(StatusCode.ERROR, text),
    )
    resource = Resource({"service.name": "x", "note": text})
    entry = LogEntry(
        time_ns=1, severity=9, severity_text="INFO", body=text, attributes={"note": text, "api_key": "hunter2secret"},
        trace_id=0, span_id=0, trace_flags=0,
    )  # fmt: skip
    for payload in (SpanEncoder(resource, REDACTOR)([span]), LogEncoder(resource, REDACTOR)([entry])):
        assert _SECRET.encode() not in payload
        assert b"hunter2secret" not in payload


def test_a_redacted_value_is_redacted_the_second_time_as_well() -> None:
    encoder = SpanEncoder(RESOURCE, REDACTOR)
    for _ in range(2):
        assert _SECRET.encode() not in encoder([_span(attributes={"note": _SECRET})])


def test_filtered_attributes_stay_here() -> None:
    attributes = {"http.route": "/x", "user_agent.original": "curl", "internal.one": 1, "internal.two": 2}
    encoder = SpanEncoder(RESOURCE, REDACTOR, ("user_agent.original", "internal.*"))
    (span,) = ExportTraceServiceRequest.FromString(
        encoder([_span(attributes=attributes)])
    ).resource_spans[0].scope_spans[0].spans  # fmt: skip
    assert [attribute.key for attribute in span.attributes] == ["http.route"]


def test_a_log_record() -> None:
    entry = LogEntry(
        time_ns=1_700_000_000_000_000_000,
        severity=13,
        severity_text="WARNING",
        body="careful",
        attributes={"logger.name": "app", "attempt": 2, "nested": {"a": [1, "b", None]}},
        trace_id=0xABC << 64,
        span_id=0xDEF,
        trace_flags=1,
    )
    request = ExportLogsServiceRequest.FromString(LogEncoder(RESOURCE, REDACTOR)([entry]))
    (part,) = request.resource_logs
    assert {item.key for item in part.resource.attributes} == {"service.name", "process.pid"}
    (record,) = part.scope_logs[0].log_records
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (entry.time_ns, entry.time_ns)
    assert (record.severity_number, record.severity_text, record.body.string_value) == (13, "WARNING", "careful")
    assert record.trace_id == (0xABC << 64).to_bytes(16, "big")
    assert (record.span_id, record.flags) == ((0xDEF).to_bytes(8, "big"), 1)
    values = {item.key: item.value for item in record.attributes}
    assert (values["logger.name"].string_value, values["attempt"].int_value) == ("app", 2)
    inner = values["nested"].kvlist_value.values[0]
    assert (inner.key, [value.WhichOneof("value") for value in inner.value.array_value.values]) == (
        "a",
        ["int_value", "string_value", None],
    )
