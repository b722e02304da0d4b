"""What is too long is redacted first and cut afterwards: no part of a secret shows, wherever the cut falls."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from checks.harness.receiver import Receiver, receiving, spans_of
from lean_tracing import Tracing, TracingSettings, start_tracing
from lean_tracing.otlp_exporter import LOGS, TRACES
from lean_tracing.redaction import CUT, MAX_ITEMS, MAX_TEXT, OVERLAP, REDACTED, Redactor, snapshot
from lean_tracing.span import Limits, RecordedSpan
from tests.support.profiles import is_quick

REDACTOR = Redactor("a key for tests")
CARD = "4111 1111 1111 1111"
CHARGE = f"charge failed for card {CARD} of ada.lovelace@example.com"
OTHER = SpanContext(7, 9, True, TraceFlags(1))
# Each with the parts that must not show, even alone.
SECRETS = [
    (CARD, ("4111", "1111")),
    ("ada.lovelace@example.com", ("ada.", "lovelace")),
    ("password=hunter2hunter2", ("hunter",)),
    ("https://app:hunter2@db.example/tasks", ("app:", "hunter")),
    ("Bearer abcdefghijklmnop", ("abcdef",)),
    ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl", ("eyJzd", "c2lnbm")),
    ("-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----", ("MIIE",)),
]


@contextmanager
def tracing_to(receiver: Receiver, **variables: str) -> Iterator[Tracing]:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.port}",
        "OTEL_SERVICE_NAME": "under-test",
        "OTEL_LOGS_EXPORTER": "otlp",
        **variables,
    }
    tracing = start_tracing(TracingSettings.from_env(environment))
    try:
        yield tracing
    finally:
        tracing.shutdown()


def texts(value: AnyValue) -> Iterator[str]:
    """Every string in it."""
    match value.WhichOneof("value"):
        case "string_value":
            yield value.string_value
        case "array_value":
            for item in value.array_value.values:
                yield from texts(item)
        case "kvlist_value":
            for pair in value.kvlist_value.values:
                yield from texts(pair.value)


def attributes_of(item: Any) -> dict[str, list[str]]:
    return {pair.key: list(texts(pair.value)) for pair in item.attributes}


KINDS: Mapping[str, Any] = {
    "text": CHARGE,
    "list": [CHARGE, CHARGE],
    "tuple": (CHARGE,),
    "bytes": CHARGE.encode(),
    "map": {"outer": {"inner": CHARGE, "list": [CHARGE]}},
    "error": ValueError(CHARGE),
}


def test_every_kind_of_value_everywhere_is_redacted_before_it_is_cut() -> None:
    redacted = REDACTOR.text(CHARGE)
    with (
        receiving() as receiver,
        tracing_to(receiver, OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="41", TRACING_HASH_KEY="a key for tests") as tracing,
    ):
        with tracing.traces.span("work", attributes=KINDS) as span:
            span.set_attribute("later", CHARGE)
            span.add_event("seen", KINDS)
            span.add_link(OTHER, KINDS)
            span.record_exception(ValueError(CHARGE))
        with pytest.raises(ValueError), tracing.traces.span("fails"):
            raise ValueError(CHARGE)
        assert tracing.log_handler
        logger = logging.Logger("app")
        logger.addHandler(tracing.log_handler)
        try:
            raise ValueError(CHARGE)
        except ValueError:
            logger.exception(CHARGE, extra=dict(KINDS))
        assert tracing.flush(10)
        work, fails = (span for request in receiver.requests[TRACES] for span in spans_of(request))
        (request,) = receiver.requests[LOGS]
    parts: list[dict[str, list[str]]] = [attributes_of(item) for item in (work, *work.events, *work.links)]
    parts += map(attributes_of, (fails, *fails.events))
    (record,) = ExportLogsServiceRequest.FromString(request).resource_logs[0].scope_logs[0].log_records
    parts.append(attributes_of(record))
    assert [set(KINDS) <= set(part) for part in parts].count(True) == 4
    for part in parts:
        for key, shown in part.items():
            for text in shown:
                assert len(text) <= 41, (key, text)
                assert "4111" not in text, (key, text)
        for kind in ("text", "later", "exception.message"):
            assert part.get(kind, [redacted[:41]]) == [redacted[:41]]
    assert record.body.string_value == redacted, "the limit is one of attributes"
    assert "4111" not in fails.status.message


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[0][:12])
def test_no_part_of_a_secret_shows_wherever_the_limit_cuts_it(secret: tuple[str, tuple[str, ...]]) -> None:
    planted, parts = secret
    text = f"charge {planted} failed"
    redacted = REDACTOR.text(text)
    for limit in range(1, len(text) + 3):
        for named in (REDACTOR.named("note", text, limit), REDACTOR.named("note", text.encode(), limit)):
            assert named == redacted[:limit]
        assert not [part for part in parts if part in redacted]


@pytest.mark.parametrize("limit", [1, 41, 300, Limits().value_length, MAX_TEXT, 1 << 20])
@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[0][:12])
def test_no_part_of_a_secret_shows_at_the_end_of_what_is_kept(secret: tuple[str, tuple[str, ...]], limit: int) -> None:
    planted, parts = secret
    length = min(limit + OVERLAP, MAX_TEXT)
    # What is hidden before it makes the text shorter, so that its end comes into what may be shown.
    prefix = "token=" + "x" * (OVERLAP // 2) + " "
    for shift in range(0, len(planted) + 2, 5 if is_quick() else 1):
        filled = (prefix * (length // len(prefix) + 1))[: length - shift - 1] + " "
        text = filled + planted + " and more" * MAX_TEXT
        shown = REDACTOR.text(text, limit)
        assert len(shown) <= limit
        assert not [part for part in parts if part in shown], shift
        assert REDACTOR.named("note", snapshot(text, limit), limit) == shown


_FAILED = "job 17 failed for customer 5: "
_LONG_KEY = f"-----BEGIN PRIVATE KEY-----\n{('PLANTED+' * 8 + chr(10)) * 320}-----END PRIVATE KEY-----"


@pytest.mark.parametrize("secret", ["token=" + "PLANTED" * 3_000, _LONG_KEY, "token=[" + "'PLANTED', " * 3_000])
@pytest.mark.parametrize("limit", [Limits().value_length, MAX_TEXT, None])
def test_a_secret_longer_than_what_is_kept_leaves_what_is_before_it(secret: str, limit: int | None) -> None:
    for prefix in (_FAILED, _FAILED + "token=PLANTED " * 1_000 + _FAILED):
        for text in (prefix + secret, prefix + secret + " and more" * MAX_TEXT):
            shown = str(REDACTOR.named("note", text if limit is None else snapshot(text, limit), limit))
            redacted = REDACTOR.text(prefix)
            assert shown.startswith((redacted, redacted[: Limits().value_length]))
            assert "PLANTED" not in shown
            assert shown.endswith((REDACTED, CUT)) or len(shown) == limit
            assert REDACTOR.text(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (_FAILED + "token=" + "PLANTED" * 300, f"{_FAILED}token=[redacted]"),
        ("postgres://bob:" + "PLANTED" * 170 + "@db/x", "postgres://[redacted]"),
        ("https://" + "PLANTED" * 170 + "@github.com", "https://[redacted]"),
        ("https://a,b;" + "PLANTED" * 170 + "@github.com", "https://[redacted]"),
        ("no mailbox " + "PLANTED" * 170 + "@example.com", "no mailbox [redacted]"),
        ("Bearer " + "PLANTED" * 300, "Bearer [redacted]"),
    ],
)
def test_a_secret_longer_than_what_is_kept_shows_no_part(text: str, shown: str) -> None:
    expected = (shown + CUT)[:41]
    assert REDACTOR.named("note", text, 41)[:41] == expected  # type: ignore[index]
    assert REDACTOR.named("note", text.encode(), 41) == expected
    assert REDACTOR.named("note", snapshot(text, 41), 41) == expected


def test_nothing_but_the_overlap_is_lost_where_a_text_is_cut() -> None:
    text = "token=abcdefghijklmnop left " * 2_000
    shown = REDACTOR.text(text)
    length = (MAX_TEXT - OVERLAP) // 28
    assert shown.removesuffix(CUT).startswith(REDACTOR.text("token=abcdefghijklmnop left ") * length)


@given(
    st.text("ab:=@./?&'\"\\ ;<%3D4-[]{}(),\ntokenpasswordBearer1é漢🎉", max_size=120),
    st.integers(1, 60),
    st.sampled_from(["note", "token", "user_email"]),
)
@example("🎉" * 50, 3, "note")
def test_what_is_kept_shows_the_same_as_the_whole(text: str, limit: int, name: str) -> None:
    long = text * (2 * OVERLAP // max(1, len(text)) + 1)
    for value in (text, long, long.encode(), [long, text], {"a": [long], "b": {"c": text}}):
        shown = REDACTOR.named(name, value, limit)
        assert REDACTOR.named(name, snapshot(value, limit), limit) == shown
        assert all(len(part) <= limit for part in leaves(shown))
    assert REDACTOR.text(long, limit).encode().decode() == REDACTOR.text(long, limit), "whole characters"


def leaves(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, str):
        yield value


def test_a_span_keeps_little_of_long_values() -> None:
    limits = Limits(value_length=100)
    span = RecordedSpan("work", OTHER, None, None, None, (), None, limits, 1, lambda _: None)  # type: ignore[arg-type]
    whole: list[object] = [*["x" * MAX_TEXT] * 3 * MAX_ITEMS]
    whole.append(whole)
    values = {"text": "x" * MAX_TEXT, "bytes": b"x" * 9 * MAX_TEXT, "list": whole, "map": {"a": whole}}
    span.set_attributes(values)  # type: ignore[arg-type]
    span.add_event("seen", values)  # type: ignore[arg-type]
    span.add_link(OTHER, values)  # type: ignore[arg-type]
    span.record_exception(ValueError("x" * MAX_TEXT))
    most = 100 + OVERLAP + 1
    for attributes in (span.attributes, *(event.attributes for event in span.events), span.links[0].attributes):
        for value in (attributes or {}).values():
            size = sum(len(item) for item in kept_leaves(value))
            assert size <= (MAX_ITEMS + 1) * most
            assert all(len(item) <= 4 * most for item in kept_leaves(value))


def kept_leaves(value: Any) -> Iterator[str | bytes]:
    if isinstance(value, (str, bytes)):
        yield value
    else:
        for item in value.values() if isinstance(value, dict) else value:
            yield from kept_leaves(item)


def test_a_map_may_change_after_it_was_given() -> None:
    span = RecordedSpan("work", OTHER, None, None, None, (), None, Limits(), 1, lambda _: None)  # type: ignore[arg-type]
    given_map: Any = {"a": ["b"]}
    span.set_attribute("map", given_map)
    given_map["a"].append("c")
    given_map["d"] = "e"
    assert span.attributes == {"map": {"a": ("b",)}}


@pytest.mark.parametrize("shift", range(-1, len("ada.lovelace@example.com") + 1, 4))
def test_an_address_at_the_default_limit(shift: int) -> None:
    text = "x" * (Limits().value_length - shift - 1) + " ada.lovelace@example.com failed"
    with receiving() as receiver, tracing_to(receiver) as tracing:
        with tracing.traces.span("work", attributes={"note": text}):
            pass
        assert tracing.flush(10)
        (span,) = spans_of(receiver.requests[TRACES][0])
    (shown,) = attributes_of(span)["note"]
    assert len(shown) == Limits().value_length
    assert set(shown) <= set("x email:0123456789abcdef")
    assert "ada" not in shown


def test_a_handed_in_exporter_gets_what_an_export_would_show() -> None:
    exporter = InMemorySpanExporter()
    settings = TracingSettings(service_name="x", hash_key="a key for tests", attribute_value_length_limit=41)
    tracing = start_tracing(settings, exporter=exporter)
    with tracing.traces.span(CHARGE, attributes={"note": CHARGE, "token": "abc", "max_tokens": 7}) as span:
        span.add_event(CHARGE, {"note": CHARGE})
        span.add_link(OTHER, {"note": CHARGE})
        span.set_status(Status(StatusCode.ERROR, CHARGE))
    tracing.shutdown()
    (shown,) = exporter.get_finished_spans()
    redacted = REDACTOR.text(CHARGE)
    assert shown.attributes == {"note": redacted[:41], "token": REDACTED, "max_tokens": 7}
    assert (shown.name, shown.status.description, shown.events[0].name) == (redacted, redacted, redacted)
    assert shown.events[0].attributes == {"note": redacted[:41]}
    assert shown.links[0].attributes == {"note": redacted[:41]}


def test_the_resource_has_no_limit() -> None:
    with (
        receiving() as receiver,
        tracing_to(
            receiver, OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="3", OTEL_RESOURCE_ATTRIBUTES="team=crawling"
        ) as tracing,
    ):
        with tracing.traces.span("work"):
            pass
        assert tracing.flush(10)
        assert b"crawling" in receiver.requests[TRACES][0]
