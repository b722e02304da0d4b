"""The project's own processor redacts what the processors of the contrib distribution redact, in the same way.

Both get the same generated spans: planted secrets of every shape, cut and joined with other text, under keys of every
kind. If two shapes overlap, the contrib processor applies them in an order that changes from run to run; both results
must then be those of some order.
"""

import itertools
import random
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from checks.harness.collector import CollectorProcess, require_own_distribution
from checks.harness.collector_with_store import running_collector
from checks.harness.receiver import Receiver, receiving
from contracts import endpoints
from lean_tracing.otlp_exporter import TRACES
from lean_tracing.redaction import shapes
from stack.polling import poll_until
from tests.support.redaction import NAMES, SIGNED_URLS

Span = dict[str, Any]

_SPANS: Final = 700
_REQUESTS: Final = 4
_EXPRESSIONS: Final = [re.compile(expression) for expression in shapes.COLLECTOR]
_SECRETS: Final = [
    *(re.sub("[«»]", "", text) for shape in shapes.SHAPES for text in (shape.hit, shape.miss)),
    *SIGNED_URLS,
    "password=hunter2&user=ada",
    "BEARER abcdefgh.ijkl",
    # Without case, the long s is an s, and the sign of Kelvin a k.
    "ba\u017fic dXNlcjpQQVNT",
    "?to\u212aen=abc",
    "378282246310005",
    "%3Dghp_0123456789abcdefghij",
]
_TEXT: Final = [
    "INSERT INTO tasks (id, user_email) VALUES (%(id)s, %(user_email)s) ON CONFLICT DO NOTHING",
    "task-manager", "5f0c4d1e-0b7a-4123-8123-1234567890ab", "2026-11-30T01:02:03.456789Z", "/v1/tasks/{id}",
    "10.0.0.17", "python-httpx/0.28.1", "true", "", "****", "[redacted]", "größer als 4711", "日本", "a\nb\n",
    "\n", "=", "@", "://", "?", "&", ":", " ", ".", "-", "_", "0", "4111", "x" * 40,
]  # fmt: skip
_KEYS: Final = [key for keys in NAMES.values() for key in keys] + ["http.route", "db.query.text", "note", "Größe"]
_COUNTS: Final = ("redaction.masked.count", "redaction.allowed.count", "redaction.ignored.count")


@dataclass(frozen=True)
class Destination:
    """A Collector and the store behind it."""

    collector: CollectorProcess
    store: Receiver

    def spans(self, payload: bytes) -> list[Span]:
        """What the Collector makes of a request."""
        self.store.requests[TRACES].clear()
        self.collector.send(payload, timeout=60)
        (stored,) = poll_until("the request in the store", lambda: self.store.requests[TRACES], seconds=60)
        (part,) = MessageToDict(ExportTraceServiceRequest.FromString(stored))["resourceSpans"]
        return list(part["scopeSpans"][0]["spans"])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Destination]]:
    """A Collector with the processors of the contrib distribution, and one with the project's own."""
    require_own_distribution()
    with ExitStack() as stack:
        made = []
        for own in (False, True):
            store = stack.enter_context(receiving(largest=endpoints.OTLP_MAX_MIB << 20))
            directory: Path = tmp_path_factory.mktemp("collector") / "files"
            process = running_collector(store, directory, 100_000, own_distribution=own)
            made.append(Destination(stack.enter_context(process), store))
        yield made


@pytest.mark.parametrize("seed", range(_REQUESTS))
def test_both_redact_generated_spans_alike(both: list[Destination], seed: int) -> None:
    rng = random.Random(seed)
    sent = [_span(rng, number) for number in range(_SPANS)]
    payload = ParseDict(
        {"resourceSpans": [{"scopeSpans": [{"spans": sent}]}]}, ExportTraceServiceRequest()
    ).SerializeToString()
    contrib, own = (destination.spans(payload) for destination in both)
    hidden = 0
    for original, expected, actual in zip(sent, contrib, own, strict=True):
        assert actual.get("name") == expected.get("name"), original["name"]
        assert actual.get("status") == expected.get("status"), original["status"]
        _compare(original, expected, actual)
        for event, expected_event, actual_event in zip(
            original["events"], expected["events"], actual["events"], strict=True
        ):
            assert actual_event.get("name") == expected_event.get("name"), event["name"]
            _compare(event, expected_event, actual_event)
        hidden += "****" in str(actual)
    assert hidden > _SPANS // 2


def _compare(original: Span, expected: Span, actual: Span) -> None:
    """Check that the attributes are the same, or those of another order of overlapping shapes."""
    sent, stored, shown = _flat(original.get("attributes", ())), _attributes(expected), _attributes(actual)
    assert list(shown) == list(stored)
    for key, value in shown.items():
        if value != stored[key]:
            possible = _in_all_orders(sent[key]["stringValue"])
            assert stored[key]["stringValue"] in possible, (key, sent[key])
            assert value["stringValue"] in possible, (key, sent[key])


def _attributes(span: Span) -> dict[str, Any]:
    return {item["key"]: item["value"] for item in span.get("attributes", ())}


def _flat(pairs: Iterable[dict[str, Any]], prefix: str = "") -> dict[str, Any]:
    """Attributes without maps and lists."""
    flat: dict[str, Any] = {}
    for pair in pairs:
        key, value = f"{prefix}{pair['key']}", pair["value"]
        if "kvlistValue" in value:
            flat |= _flat(value["kvlistValue"]["values"], f"{key}.")
        elif "arrayValue" in value:
            items = value["arrayValue"]["values"]
            flat |= _flat(({"key": str(index), "value": item} for index, item in enumerate(items)), f"{key}.")
        else:
            flat[key] = value
    return flat


def _in_all_orders(text: str) -> set[str]:
    """The results of all orders in which the shapes can be hidden."""
    matching = [expression for expression in _EXPRESSIONS if expression.search(text)]
    results = set()
    for order in itertools.permutations(matching):
        hidden = text
        for expression in order:
            hidden = expression.sub("****", hidden)
        results.add(hidden)
    return results


def _span(rng: random.Random, number: int) -> Span:
    return {
        "traceId": "AQEBAQEBAQEBAQEBAQEBAQ==",
        "spanId": "AQEBAQEBAQE=",
        "startTimeUnixNano": str(number + 1),
        "endTimeUnixNano": str(number + 2),
        "name": _text(rng),
        "status": {"code": "STATUS_CODE_ERROR", "message": _text(rng)},
        "attributes": _some_attributes(rng),
        "events": [{"timeUnixNano": "1", "name": _text(rng), "attributes": _some_attributes(rng)}],
    }


def _some_attributes(rng: random.Random) -> list[dict[str, Any]]:
    keys = dict.fromkeys(_key(rng) for _ in range(6))
    # The contrib processors hide no bytes under the name of a secret.
    return [
        *({"key": key, "value": _value(rng)} for key in keys),
        {"key": "raw", "value": {"bytesValue": "aHVudGVyMg=="}},
    ]


def _key(rng: random.Random) -> str:
    key = rng.choice(_KEYS)
    return rng.choice((key, key, key, key.upper(), f"my.{key}", f"{key}.0", f"x{key}"))


def _value(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    kind = rng.randrange(12 if depth else 15)
    if kind == 12:
        pairs = {_key(rng): _value(rng, 1) for _ in range(rng.randrange(4))}
        return {"kvlistValue": {"values": [{"key": key, "value": value} for key, value in pairs.items()]}}
    if kind >= 13:
        return {"arrayValue": {"values": [_value(rng, 1) for _ in range(rng.randrange(4))]}}
    if kind == 0:
        return {"intValue": str(rng.choice((0, 4711, 4111111111111111)))}
    if kind == 1:
        return rng.choice(({"boolValue": True}, {"doubleValue": 0.5}))
    return {"stringValue": _text(rng)}


def _text(rng: random.Random) -> str:
    """Some secrets and other texts, cut and joined."""
    parts = [rng.choice(_SECRETS) if rng.random() < 0.3 else rng.choice(_TEXT) for _ in range(rng.randrange(1, 4))]
    if rng.random() < 0.3:
        parts[0] = parts[0][rng.randrange(4) : len(parts[0]) - rng.randrange(8)]
    return rng.choice((" ", "", "/", "?", "=", "\n", "a", "9")).join(parts)
