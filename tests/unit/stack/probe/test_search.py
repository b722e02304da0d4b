"""The search for the trace of a task: what each store is asked, and which answers have the trace."""

import json
from typing import Any

import httpx
import pytest

from stack.clients.traces import TraceStoreClient
from stack.probe.search import is_searchable, task_query

TRACE_ID = "0a" * 16
TEMPO = {"traces": [{"traceID": TRACE_ID.lstrip("0"), "startTimeUnixNano": "1000000000"}]}
JAEGER = {
    "data": [
        {
            "traceID": TRACE_ID,
            "spans": [{"startTime": 1, "duration": 1, "operationName": "process crawl", "processID": "p"}],
            "processes": {"p": {"serviceName": "task-manager"}},
        }
    ]
}


def search(backend: str, answer: dict[str, Any], trace_id: str = TRACE_ID) -> tuple[bool, dict[str, Any]]:
    """Return whether the trace is in the answer, and the parameters of the request."""
    sent: dict[str, Any] = {}

    def get(_: str, *, params: dict[str, Any], **__: Any) -> httpx.Response:
        sent.update(params)
        return httpx.Response(200, json=answer)

    store = TraceStoreClient(backend, "http://store", get)
    return is_searchable(store, trace_id, task_query(backend, "some-task"), start=1000, end=1010), sent


def test_tempo_is_asked_for_the_attribute_in_traceql() -> None:
    is_found, sent = search("tempo", TEMPO)
    assert is_found
    assert sent["q"] == '{ span.task.id = "some-task" }'
    assert sent["start"] < 1000
    assert sent["end"] > 1010


def test_jaeger_is_asked_for_the_tag_of_a_service() -> None:
    is_found, sent = search("jaeger", JAEGER)
    assert is_found
    assert sent["service"] == "task-manager"
    assert json.loads(sent["tags"]) == {"task.id": "some-task"}


@pytest.mark.parametrize(("backend", "answer"), [("tempo", TEMPO), ("jaeger", JAEGER), ("tempo", {}), ("jaeger", {})])
def test_another_trace_is_not_the_one(backend: str, answer: dict[str, Any]) -> None:
    assert not search(backend, answer, "0b" * 16)[0]
