"""Redaction on the real Collector: it hides the secrets that a service did not redact, and changes nothing else.

The processors of the contrib distribution and the project's own processor have the same tests.

`GOLDEN=write` writes the result into the golden file, for review.
"""

import base64
import gzip
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from checks.harness.collector import TOKEN, CollectorProcess, require_own_distribution
from checks.harness.collector_with_store import running_collector
from checks.harness.http import CLIENT
from checks.harness.receiver import Receiver
from collector.pipeline import OtlpTarget, Pipeline, render
from lean_tracing import wire
from lean_tracing.otlp_exporter import TRACES
from lean_tracing.redaction import Redactor
from lean_tracing.span import Limits, RecordedSpan
from lean_tracing.span_encoder import SpanEncoder
from stack.polling import poll_until
from tests.support.http_server import Request, Response, http_server
from tests.support.redaction import NAMES, SIGNED_URLS

GOLDEN = Path(__file__).parent / "golden"
REDACTOR = Redactor("a key for tests")
CONTEXT = SpanContext(1 << 64 | 1, 1, False, TraceFlags(1))
SCOPE = InstrumentationScope("tests")
CONFIG = yaml.safe_load(
    render(Pipeline(trace_store=OtlpTarget("s:1"), metric_stores=[OtlpTarget("http://m", "http")], queue_size=10_000))
)["processors"]


@pytest.fixture(params=["contrib", "own"])
def own_distribution(request: pytest.FixtureRequest) -> bool:
    """Whether the Collector has the configuration of the project's distribution."""
    if request.param == "own":
        require_own_distribution()
    return bool(request.param == "own")


@pytest.fixture
def collector(store: Receiver, tmp_path: Path, own_distribution: bool) -> Iterator[CollectorProcess]:
    with running_collector(store, tmp_path / "collector", 10_000, own_distribution=own_distribution) as process:
        yield process


def request(document: dict[str, Any]) -> ExportTraceServiceRequest:
    """OTLP's JSON has ids in hex, protobuf's in base64."""

    def converted(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: base64.b64encode(bytes.fromhex(item)).decode() if key in ("traceId", "spanId") else converted(item)
                for key, item in value.items()
            }
        return [converted(item) for item in value] if isinstance(value, list) else value

    parsed: ExportTraceServiceRequest = ParseDict(converted(document), ExportTraceServiceRequest())
    return parsed


def test_what_comes_out_is_what_is_in_the_golden_file(collector: CollectorProcess, store: Receiver) -> None:
    sent = request(json.loads((GOLDEN / "redaction.sent.json").read_text()))
    collector.send(sent.SerializeToString())
    (stored,) = poll_until("the request in the store", lambda: store.requests[TRACES])
    document = MessageToDict(ExportTraceServiceRequest.FromString(stored))
    if os.environ.get("GOLDEN") == "write":
        (GOLDEN / "redaction.stored.json").write_text(json.dumps(document, indent=2) + "\n")
    expected = json.loads((GOLDEN / "redaction.stored.json").read_text())
    assert document == expected, json.dumps(document, indent=2)
    assert b"PLANTED" not in stored
    assert b"4111 1111" not in stored


def test_known_keys_are_none_that_mean_a_secret() -> None:
    keys = CONFIG["redaction/keys"]
    assert len(keys["ignored_keys"]) > 40
    assert not [key for key in keys["ignored_keys"] if REDACTOR.named(key, "text") != "text"]
    assert CONFIG["redaction/digits"]["ignored_keys"] == keys["ignored_keys"]


VALUES: dict[str, dict[str, Any]] = {
    "text": {"stringValue": "hunter2"},
    "digits as text": {"stringValue": "4711"},
    "word": {"stringValue": "true"},
    "nothing": {"stringValue": ""},
    "number": {"intValue": "4711"},
    "share": {"doubleValue": 0.5},
    "yes": {"boolValue": True},
}


def test_library_and_collector_decide_alike_from_one_table(collector: CollectorProcess, store: Receiver) -> None:
    sent = [
        {"name": name, "attributes": [{"key": key, "value": value} for keys in NAMES.values() for key in keys]}
        for name, value in VALUES.items()
    ]
    spans = {span["name"]: span for span in through(collector, store, sent)}
    for name, value in VALUES.items():
        shown = {item["key"]: item["value"] for item in spans[name]["attributes"]}
        count = int(shown.pop("redaction.masked.count", {"intValue": 0})["intValue"])
        hidden = {key for key in shown if shown[key] != value}
        (plain,) = (int(item) if kind == "intValue" else item for kind, item in value.items())
        expected = {key for keys in NAMES.values() for key in keys if REDACTOR.named(key, plain) != plain}
        assert hidden == expected, name
        assert all(shown[key] == {"stringValue": "****"} for key in hidden)
        assert count == len(hidden), name
        table = {
            "text": {"secret", "typed", "email"}, "digits as text": {"secret", "typed", "email"},
            "word": {"secret", "typed", "email"}, "number": {"typed"}, "share": {"typed"},
        }.get(name, set())  # fmt: skip
        assert hidden == {key for kind in table for key in NAMES[kind]}, name


def test_every_text_of_a_span_is_looked_at(collector: CollectorProcess, store: Receiver) -> None:
    texts = [*SIGNED_URLS, "mail to PLANTED@example.com"]
    attributes = [{"key": f"note.{number}", "value": {"stringValue": text}} for number, text in enumerate(texts)]
    ids = {"traceId": "01" * 16, "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    spans = [
        {
            **ids, "spanId": f"{number + 1:016x}", "name": f"GET {text}", "attributes": attributes,
            "events": [{"timeUnixNano": "1", "name": text, "attributes": attributes}],
            "status": {"code": 2, "message": text},
        }
        for number, text in enumerate(texts)
    ]  # fmt: skip
    part = {
        "resource": {"attributes": attributes},
        "scopeSpans": [{"scope": {"attributes": attributes}, "spans": spans}],
    }
    payload = request({"resourceSpans": [part]}).SerializeToString()
    shown = sent_through(collector, store, payload)
    assert len(shown) == len(texts)
    assert b"PLANTED" not in store.requests[TRACES][0]


def test_own_processor_looks_at_links_too(collector: CollectorProcess, store: Receiver, own_distribution: bool) -> None:
    attributes = [{"key": "password", "value": {"stringValue": "PLANTED"}}]
    link = {"traceId": "02" * 16, "spanId": "02" * 8, "attributes": attributes}
    (span,) = through(collector, store, [{"name": "work", "links": [link]}])
    (shown, *_) = span["links"][0]["attributes"]
    assert shown["value"]["stringValue"] == ("****" if own_distribution else "PLANTED")


def test_own_processor_looks_at_bytes_too(collector: CollectorProcess, store: Receiver, own_distribution: bool) -> None:
    planted = base64.b64encode(b"PLANTED").decode()
    attributes = [{"key": key, "value": {"bytesValue": planted}} for key in ("api_key", "password", "data")]
    (span,) = through(collector, store, [{"name": "work", "attributes": attributes}])
    shown = {pair["key"]: pair["value"] for pair in span["attributes"]}
    hidden, kept = {"stringValue": "****"}, {"bytesValue": planted}
    assert shown["api_key"] == (hidden if own_distribution else kept)
    assert (shown["password"], shown["data"]) == (hidden, kept)


def test_values_that_the_library_redacted_are_not_counted(collector: CollectorProcess, store: Receiver) -> None:
    texts = [
        "charge failed for card 4111 1111 1111 1111 of ada.lovelace@example.com",
        "https://app:hunter2@db.example/tasks?token=abcdef&code=1234567#end",
        "GET /cb?code=abc&state=1&access_token=secret",
        "Authorization: Bearer abcdefghijklmnop",
        "Basic YWRhOmh1bnRlcjI=",
        "Basic authentication failed, basic functionality works",
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl",
        "postgresql://u:pa/ss@db:5432/x",
        "password=hunter2 token: abc",
    ]
    keys = [key for keys in NAMES.values() for key in keys]
    made = [
        {**dict.fromkeys(keys, "hunter2"), **{f"note{number}": text for number, text in enumerate(texts)}},
        dict.fromkeys(keys, "ada.lovelace@example.com"),
    ]
    spans = []
    # Length limits can cut the library's marks.
    for limit in (1, 5, 17, 30, 46, 16_384):
        limits = Limits(value_length=limit, attributes=1_000)
        for attributes in made:
            span = RecordedSpan(
                "work", CONTEXT, None, SpanKind.SERVER, attributes, (), SCOPE, limits, 1, lambda _: None
            )
            span.add_event("seen", attributes)
            span.end(2)
            spans.append(SpanEncoder(Resource({}), REDACTOR, (), limit)([span]))
    for payload in spans:
        (document,) = sent_through(collector, store, payload)
        assert document == spans_of(MessageToDict(ExportTraceServiceRequest.FromString(payload)))[0]


@given(st.from_regex(CONFIG["redaction/values"]["allowed_values"][0], fullmatch=True))
@example("411111111111111")
@example("41111111-1111-4111-8111-411111111111")
@example("/users/a-4111-1111-1111-1111/x")
def test_what_is_let_through_at_a_glance_has_no_secret_shape(value: str) -> None:
    values = CONFIG["redaction/values"]
    harmless = re.fullmatch(values["allowed_values"][0].strip("^$"), value)
    assert not harmless or not [shape for shape in values["blocked_values"] if re.search(shape, value)]


def through(collector: CollectorProcess, store: Receiver, spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Send spans, which may have no ids and times, and return what the Collector exports."""
    ids = {"traceId": "01" * 16, "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    complete = [{**ids, "spanId": f"{number + 1:016x}", **span} for number, span in enumerate(spans)]
    payload = request({"resourceSpans": [{"scopeSpans": [{"spans": complete}]}]})
    return sent_through(collector, store, payload.SerializeToString())


def sent_through(collector: CollectorProcess, store: Receiver, payload: bytes) -> list[dict[str, Any]]:
    store.requests[TRACES].clear()
    collector.send(payload)
    (stored,) = poll_until("the request in the store", lambda: store.requests[TRACES], every=0.02)
    return spans_of(MessageToDict(ExportTraceServiceRequest.FromString(stored)))


def spans_of(document: Any) -> list[dict[str, Any]]:
    return [span for part in document["resourceSpans"] for scope in part["scopeSpans"] for span in scope["spans"]]


def test_logs_are_redacted_in_bodies_and_attributes(tmp_path: Path, own_distribution: bool) -> None:
    secret = "PLANTED@example.com"
    record = {
        "timeUnixNano": "1700000000000000000",
        "body": {"stringValue": f"mail to {secret} failed"},
        "attributes": [
            {"key": "password", "value": {"stringValue": "PLANTED"}},
            {"key": "form", "value": {"kvlistValue": {"values": [{"key": "to", "value": {"stringValue": secret}}]}}},
            {"key": "task.id", "value": {"stringValue": "kept"}},
        ],
    }
    nested = {
        "body": {
            "kvlistValue": {
                "values": [
                    {"key": "secret", "value": {"stringValue": "PLANTED"}},
                    {"key": "max_tokens", "value": {"intValue": "4711"}},
                    {"key": "token", "value": {"boolValue": True}},
                    {"key": "otp", "value": {"intValue": "471147114711"}},
                    {"key": "form", "value": {"kvlistValue": {"values": [{"key": "n", "value": {"intValue": "1"}}]}}},
                ]
            }
        },
        "attributes": [{"key": "task.id", "value": {"stringValue": "kept"}}],
    }
    listed = {"body": {"arrayValue": {"values": [{"stringValue": secret}, {"intValue": "7"}]}}}
    plain = {"body": {"intValue": "4711"}}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "forgetful"}}]}
    with http_store() as (url, requests):
        pipeline = Pipeline(
            trace_store=OtlpTarget("127.0.0.1:9"),
            metric_stores=[OtlpTarget("http://127.0.0.1:9", "http")],
            log_store=OtlpTarget(url, "http"),
            queue_size=10_000,
            own_distribution=own_distribution,
        )
        sent = {
            "resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record, nested, listed, plain]}]}]
        }
        stored = stored_of(tmp_path / "collector", pipeline, "logs", sent, requests)
    assert b"PLANTED" not in stored
    assert b"mail to **** failed" in stored
    assert b"kept" in stored
    (scope,) = ExportLogsServiceRequest.FromString(stored).resource_logs[0].scope_logs
    bodies = [MessageToDict(entry)["body"] for entry in scope.log_records]
    pairs = {pair["key"]: pair["value"] for pair in bodies[1]["kvlistValue"]["values"]}
    assert pairs == {
        "secret": {"stringValue": "****"}, "max_tokens": {"intValue": "4711"}, "token": {"boolValue": True},
        "otp": {"stringValue": "****"}, "form.n": {"intValue": "1"},
    }  # fmt: skip
    assert [pair.key for pair in scope.log_records[1].attributes] == ["task.id", "redaction.masked.count"]
    assert [pair["value"] for pair in bodies[2]["kvlistValue"]["values"]] == [
        {"stringValue": "****"},
        {"intValue": "7"},
    ]
    assert bodies[3] == {"intValue": "4711"}
    assert not scope.log_records[3].attributes


def test_labels_of_metrics_are_redacted_inside_of_maps(tmp_path: Path, own_distribution: bool) -> None:
    form = {"kvlistValue": {"values": [{"key": "password", "value": {"stringValue": "PLANTED"}}]}}
    attributes = [{"key": "form", "value": form}, {"key": "kept", "value": {"stringValue": "kept"}}]
    point = {"timeUnixNano": "1700000000000000000", "asInt": "1", "attributes": attributes}
    scope = {"scope": {"attributes": attributes}, "metrics": [{"name": "m", "gauge": {"dataPoints": [point]}}]}
    sent = {"resourceMetrics": [{"resource": {"attributes": attributes}, "scopeMetrics": [scope]}]}
    with http_store() as (url, requests):
        pipeline = Pipeline(
            trace_store=OtlpTarget("127.0.0.1:9"),
            metric_stores=[OtlpTarget(url, "http")],
            queue_size=10_000,
            own_distribution=own_distribution,
        )
        stored = stored_of(tmp_path / "collector", pipeline, "metrics", sent, requests)
    assert b"PLANTED" not in stored
    assert (stored.count(b"form.password"), stored.count(b"****"), b"redaction." in stored) == (3, 3, False)


def test_maps_inside_each_other_take_no_memory(
    collector: CollectorProcess, store: Receiver, own_distribution: bool
) -> None:
    """The contrib distribution has no limit: a request of 300 KiB may end it."""
    if not own_distribution:
        pytest.skip("the processors of the contrib distribution have no such limit")
    # Written by hand: no encoder of protobuf takes so many levels.
    value = wire.text(b"\x0a", "PLANTED")
    for _ in range(40_000):
        value = wire.sized(b"\x2a", wire.sized(b"\x0a", value))
    pair = wire.sized(b"\x4a", wire.text(b"\x0a", "x") + wire.sized(b"\x12", value))
    span = wire.sized(b"\x0a", b"\x01" * 16) + wire.sized(b"\x12", b"\x01" * 8) + pair
    (shown,) = sent_through(collector, store, wire.sized(b"\x0a", wire.sized(b"\x12", wire.sized(b"\x12", span))))
    assert shown["attributes"] == [{"key": "x" + ".0" * 32, "value": {"stringValue": "[cut]"}}]


def stored_of(directory: Path, pipeline: Pipeline, signal: str, sent: dict[str, Any], requests: list[bytes]) -> bytes:
    """Send a request to a Collector, and return what it sends on, which a store appends to `requests`."""
    collector = CollectorProcess(directory, render(pipeline))
    collector.start()
    try:
        headers = {"authorization": f"Bearer {TOKEN}"}
        CLIENT.post(f"{collector.http}/v1/{signal}", json=sent, headers=headers, timeout=10).raise_for_status()
        (stored,) = poll_until("the request in the store", lambda: requests)
    finally:
        collector.kill()
    return stored


@contextmanager
def http_store() -> Iterator[tuple[str, list[bytes]]]:
    """Run a receiver of OTLP/HTTP; yield its URL and its requests."""
    requests: list[bytes] = []

    def keep(request: Request) -> Response:
        is_zipped = request.headers.get("content-encoding") == "gzip"
        requests.append(gzip.decompress(request.body) if is_zipped else request.body)
        return Response()

    with http_server(keep) as url:
        yield url, requests
