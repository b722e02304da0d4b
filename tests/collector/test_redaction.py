"""Redaction on the real Collector: what a service forgot to mask does not leave it, and nothing else is touched.

`GOLDEN=write` writes what came out into the golden file, for a reader to judge.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.pipeline import Pipeline, render
from service.tracing.sender import TRACES
from tests.collector.process import TOKEN, CollectorProcess
from tests.service.polling import poll_until
from tests.service.tracing.receiver import Receiver

GOLDEN = Path(__file__).parent / "golden"
CONFIG = yaml.safe_load(render(Pipeline(trace_store="s:1", metric_store="http://m", queue_size=10_000)))["processors"]


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
    (stored,) = poll_until("the request in the store", lambda: store.requests[TRACES], seconds=15)
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
    for pattern in keys["blocked_key_patterns"]:
        assert not [key for key in keys["ignored_keys"] if re.search(pattern, key)]
        assert re.search(pattern, "user.password") or re.search(pattern, "user.jwt")


@given(st.from_regex(CONFIG["redaction/values"]["allowed_values"][0], fullmatch=True))
@settings(max_examples=1000)
@example("411111111111111")
@example("41111111-1111-4111-8111-411111111111")
@example("/users/a-4111-1111-1111-1111/x")
def test_what_is_let_through_at_a_glance_has_no_secret_shape(value: str) -> None:
    values = CONFIG["redaction/values"]
    harmless = re.fullmatch(values["allowed_values"][0].strip("^$"), value)
    assert not harmless or not [shape for shape in values["blocked_values"] if re.search(shape, value)]


def test_logs_are_redacted_in_bodies_and_attributes(tmp_path: Path) -> None:
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
    nested = {"body": {"kvlistValue": {"values": [{"key": "secret", "value": {"stringValue": "PLANTED"}}]}}}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "forgetful"}}]}
    with log_store() as (url, requests):
        pipeline = Pipeline(
            trace_store="127.0.0.1:9", metric_store="http://127.0.0.1:9", log_store=url, queue_size=10_000
        )
        collector = CollectorProcess(tmp_path / "collector", render(pipeline))
        collector.start()
        try:
            sent = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record, nested]}]}]}
            headers = {"authorization": f"Bearer {TOKEN}"}
            httpx.post(f"{collector.http}/v1/logs", json=sent, headers=headers, timeout=10).raise_for_status()
            (stored,) = poll_until("the request in the store", lambda: requests, seconds=15)
        finally:
            collector.kill()
    assert b"PLANTED" not in stored
    assert b"mail to **** failed" in stored
    assert b"kept" in stored


@contextmanager
def log_store() -> Iterator[tuple[str, list[bytes]]]:
    """URL that takes logs as OTLP over HTTP, and the requests that came."""
    requests: list[bytes] = []

    class Store(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
