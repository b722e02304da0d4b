"""The spans of a run are found by searches, and only traces that these miss are looked up by their id."""

import json
from typing import Any

import httpx

from checks.ha.searched import searched
from stack.clients.traces import TraceStoreClient

_TRACE = "0af7651916cd43dd8448eb211c80319c"
_LATE = "1af7651916cd43dd8448eb211c80319c"


def _span(number: int) -> dict[str, str]:
    return {"spanID": f"{number:x}", "startTimeUnixNano": "1000", "durationNanos": "5"}


def test_spans_of_all_searches_are_joined_and_missing_ones_are_looked_up() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if request.url.params.get("start") == "220":
            return httpx.Response(500, text="a part is starting")
        if request.url.path != "/api/search":
            span = {"spanId": "0000000000000009", "startTimeUnixNano": "1", "endTimeUnixNano": "2", "name": "n"}
            batch: dict[str, Any] = {"resource": {}, "scopeSpans": [{"spans": [span]}]}
            return httpx.Response(200, text=json.dumps({"trace": {"resourceSpans": [batch]}}))
        # The minutes overlap; Tempo leaves leading zeros of the ids out.
        spans = [_span(1), _span(2)] if len(asked) == 1 else [_span(2), _span(3)]
        return httpx.Response(200, json={"traces": [{"traceID": _TRACE.lstrip("0"), "spanSets": [{"spans": spans}]}]})

    client = httpx.Client(transport=httpx.MockTransport(answer))
    store = TraceStoreClient("tempo", "http://tempo", client.get)
    lookup = searched(store, client, '{ span.task.id =~ "run-.*" }', 100.0, 280.0)
    assert [(request.url.params["start"], request.url.params["end"]) for request in asked] == [
        ("100", "161"),
        ("160", "221"),
        ("220", "281"),
    ]
    assert sorted(span.span_id for span in lookup(_TRACE)) == [f"{number:016x}" for number in (1, 2, 3)]
    assert [span.span_id for span in lookup(_TRACE)] == ["0000000000000009"], "the second time, the store is asked"
    assert lookup(_LATE)
    assert asked[-1].url.path.endswith(_LATE)
