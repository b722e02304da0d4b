"""A stored trace becomes spans, in the JSON that Tempo and Jaeger answer with."""

from typing import Any

import httpx
import pytest

from stack.clients.traces import Span, TraceStoreClient

_RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": "gateway"}}]}
_SPAN: dict[str, Any] = {
    "spanId": "00f067aa0ba902b7",
    "name": "GET /tasks",
    "startTimeUnixNano": "1000000000",
    "endTimeUnixNano": "1005000000",
    "kind": 2,
    "status": {"code": 2, "message": "TimeoutError: no answer"},
    "attributes": [
        {"key": "http.response.status_code", "value": {"intValue": "503"}},
        {"key": "server.name", "value": {"stringValue": "task-manager"}},
        {"key": "retried", "value": {"boolValue": False}},
        {"key": "tried", "value": {"arrayValue": {"values": [{"intValue": 1}, {"doubleValue": 2.5}]}}},
        {"key": "page", "value": {"kvlistValue": {"values": [{"key": "size", "value": {"intValue": "7"}}]}}},
        {"key": "empty", "value": {}},
    ],
}


def _client(document: dict[str, Any]) -> TraceStoreClient:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=document))
    return TraceStoreClient("tempo", "http://tempo", httpx.Client(transport=transport).get)


@pytest.mark.parametrize("envelope", ["trace", "result", None])
def test_a_span_has_its_status_and_the_values_of_its_attributes(envelope: str | None) -> None:
    spans = {"resourceSpans": [{"resource": _RESOURCE, "scopeSpans": [{"spans": [_SPAN]}]}]}
    [span] = _client({envelope: spans} if envelope else spans).trace("0" * 32)
    assert span == Span(
        span_id="00f067aa0ba902b7",
        parent_id="",
        service="gateway",
        name="GET /tasks",
        kind="SERVER",
        start=1_000_000_000,
        end=1_005_000_000,
        error=True,
        message="TimeoutError: no answer",
        attributes={
            "http.response.status_code": 503,
            "server.name": "task-manager",
            "retried": False,
            "tried": [1, 2.5],
            "page": {"size": 7},
            "empty": None,
        },
    )


def test_the_names_and_codes_of_protobufs_json_are_read_too() -> None:
    span = {**_SPAN, "spanId": "APBnqgupArc=", "kind": "SPAN_KIND_SERVER", "status": {"code": "STATUS_CODE_ERROR"}}
    document = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [span]}]}]}
    [read] = _client(document).trace("0" * 32)
    assert (read.span_id, read.kind, read.error, read.message) == ("00f067aa0ba902b7", "SERVER", True, "")
    assert read.service == "?"
