"""The format of Datadog's agent: every type that a tracer sends is read, and anything else is refused."""

from typing import Any

import pytest

from checks.bench.alternatives.datadog_format import MessagePackError, spans, unpack
from tests.unit.checks.bench.datadog_bodies import MEASURED, STRINGS, TWO_SPANS


def test_spans_have_their_service_name_tags_and_metrics() -> None:
    first, second = spans(TWO_SPANS)
    assert (first.service, first.name) == ("shop", "measured")
    assert first.attributes == {"task.status": "new", "attempt": 1.0, "process_id": 4096.0}
    assert (second.service, second.name, second.attributes) == ("shop", "GET /items", {})


@pytest.mark.parametrize(
    ("document", "value"),
    [
        (b"\x7f", 127),
        (b"\xff", -1),
        (b"\xe0", -32),
        (b"\xc0", None),
        (b"\xc2", False),
        (b"\xc3", True),
        (b"\xcc\xff", 255),
        (b"\xcd\x01\x00", 256),
        (b"\xce\x00\x01\x00\x00", 65536),
        (b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00", 1 << 32),
        (b"\xd0\x80", -128),
        (b"\xd1\xff\x00", -256),
        (b"\xd2\xff\xff\x00\x00", -65536),
        (b"\xd3\xff\xff\xff\xff\x00\x00\x00\x00", -(1 << 32)),
        (b"\xca\x3f\x80\x00\x00", 1.0),
        (b"\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00", 0.5),
        (b"\xa2\xc3\xa9", "é"),
        (b"\xd9\x01a", "a"),
        (b"\xda\x00\x01a", "a"),
        (b"\xdb\x00\x00\x00\x01a", "a"),
        (b"\xc4\x01a", b"a"),
        (b"\xc5\x00\x01a", b"a"),
        (b"\xc6\x00\x00\x00\x01a", b"a"),
        (b"\x92\x01\x02", [1, 2]),
        (b"\xdc\x00\x01\x01", [1]),
        (b"\xdd\x00\x00\x00\x01\x01", [1]),
        (b"\x81\xa1a\x01", {"a": 1}),
        (b"\xde\x00\x01\xa1a\x01", {"a": 1}),
        (b"\xdf\x00\x00\x00\x01\xa1a\x01", {"a": 1}),
    ],
)
def test_every_type_is_read(document: bytes, value: Any) -> None:
    assert unpack(document) == value


@pytest.mark.parametrize("end", range(len(TWO_SPANS)))
def test_a_body_that_ends_too_early_is_refused(end: int) -> None:
    with pytest.raises(MessagePackError, match="ends within a value"):
        spans(TWO_SPANS[:end])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (TWO_SPANS + b"\x01", "1 bytes follow the value"),
        (b"\xc1", "begins with 0xc1"),
        (b"\xd4\x00\x00", "begins with 0xd4"),
        (b"\x91\x90", "no list of strings and traces"),
        (b"\x92" + STRINGS + b"\x91\x91\x91\x01", "1 fields, not 12"),
        (b"\x92\x90\x91\x91" + MEASURED, "no list of strings and traces"),
    ],
)
def test_another_body_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(MessagePackError, match=message):
        spans(body)
