"""All three services, over real HTTP and Kafka's real protocol, in one process: one request, one trace, every edge."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import SecretStr

from checks.harness.http import CLIENT
from checks.harness.ports import free_port
from contracts.hops import HOPS
from lean_tracing.testing import Recorder
from service.crawler import bootstrap as crawler
from service.crawler.config import CrawlerSettings
from service.gateway import bootstrap as gateway
from service.gateway.config import GatewaySettings
from service.task_manager import bootstrap as task_manager
from service.task_manager.config import TaskManagerSettings
from stack.polling import poll_until
from tests.support.serving import served

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER_SPAN = "b7ad6b7169203331"
USER = "ada.lovelace@example.com"

# (child's service, kind, name) -> (parent's service, name); INTERNAL spans between them are skipped.
EDGES = [
    ((hop.service, SpanKind[hop.kind], hop.name), (hop.parent.service, hop.parent.name) if hop.parent else None)
    for hop in HOPS
]


@dataclass(frozen=True)
class System:
    gateway: str
    task_manager: str
    crawler: str
    recorders: dict[str, Recorder]

    def spans(self) -> list[tuple[str, ReadableSpan]]:
        return [(service, span) for service, recorder in self.recorders.items() for span in recorder.spans()]


@pytest.fixture(scope="module")
def system(
    kafka: str, make_recorder: Callable[[str], Recorder], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    database = tmp_path_factory.mktemp("database") / "tasks.db"
    ports = {name: free_port() for name in ("gateway", "task-manager", "web-crawler")}
    recorders = {name: make_recorder(name) for name in ports}
    common: dict[str, Any] = {"host": "127.0.0.1", "kafka_bootstrap_servers": kafka}
    gateway_settings = GatewaySettings(
        port=ports["gateway"], task_manager_url=f"http://127.0.0.1:{ports['task-manager']}", **common
    )
    task_manager_settings = TaskManagerSettings(
        port=ports["task-manager"], database_url=SecretStr(f"sqlite:///{database}"), **common
    )
    crawler_settings = CrawlerSettings(
        port=ports["web-crawler"], allowed_hosts=frozenset({f"127.0.0.1:{ports['gateway']}"}), **common
    )
    with ExitStack() as running:
        urls = [
            running.enter_context(served(app, settings))
            for app, settings in (
                (gateway.build(gateway_settings, recorders["gateway"].tracing), gateway_settings),
                (task_manager.build(task_manager_settings, recorders["task-manager"].tracing), task_manager_settings),
                (crawler.build(crawler_settings, recorders["web-crawler"].tracing), crawler_settings),
            )
        ]
        for url in urls:
            poll_until(f"readiness of {url}", partial(_succeeds, f"{url}/api/health/ready"))
        yield System(gateway=urls[0], task_manager=urls[1], crawler=urls[2], recorders=recorders)


def _succeeds(url: str) -> bool:
    return CLIENT.get(url).is_success


def _parent_names(spans: list[tuple[str, ReadableSpan]], span: ReadableSpan) -> tuple[str, str] | None:
    """(service, name) of the nearest ancestor that is not INTERNAL; None for the caller outside."""
    by_id = {span.context.span_id: (service, span) for service, span in spans}
    while span.parent is not None:
        if span.parent.span_id not in by_id:
            assert span.parent.span_id == int(CALLER_SPAN, 16), f"{span.name} has a parent that was not recorded"
            return None
        service, span = by_id[span.parent.span_id]
        if span.kind is not SpanKind.INTERNAL:
            return service, span.name
    raise AssertionError(f"{span.name} started its own trace")


def _finished(system: System, task_id: str) -> dict[str, Any] | None:
    """The task once it is stored and at its end."""
    answer = CLIENT.get(f"{system.gateway}/api/tasks/{task_id}")
    task: dict[str, Any] = answer.json()
    return task if answer.is_success and task["status"] in ("completed", "error") else None


def test_one_request_is_one_trace_with_every_edge(system: System) -> None:
    answer = CLIENT.post(
        f"{system.gateway}/api/tasks",
        json={"user_email": USER, "user_query": "what is here?", "base_url": f"{system.gateway}/demo"},
        headers={"traceparent": f"00-{TRACE_ID}-{CALLER_SPAN}-01", "x-correlation-id": "order-4711"},
    )
    assert answer.status_code == 202, answer.text
    accepted = answer.json()
    assert accepted["trace_id"] == TRACE_ID
    assert accepted["status"] == "new"
    assert answer.headers["location"] == f"/api/tasks/{accepted['id']}"
    assert answer.headers["x-correlation-id"] == "order-4711"
    assert answer.headers["traceparent"].startswith(f"00-{TRACE_ID}-")

    task = poll_until(
        "finished task",
        lambda: _finished(system, accepted["id"]),
    )
    assert task["status"] == "completed", task
    assert task["result"]["title"] == "A page to crawl"
    assert task["user_email"] == USER

    def trace() -> list[tuple[str, ReadableSpan]] | None:
        spans = [(service, span) for service, span in system.spans() if span.context.trace_id == int(TRACE_ID, 16)]
        # The consumer's span ends after the row is visible.
        return spans if sum(span.name == "process task-status" for _, span in spans) == 2 else None

    spans = poll_until("second consumer span of the task-manager", trace)
    edges = [((service, span.kind, span.name), _parent_names(spans, span)) for service, span in spans]
    missing = [edge for edge in EDGES if edge not in edges]
    assert not missing, f"missing {missing}, seen {edges}"
    assert {span.status.status_code for _, span in spans} == {StatusCode.UNSET}

    everything = " ".join(span.to_json() for _, span in system.spans())
    assert USER not in everything
    assert "ada.lovelace" not in everything


def test_a_page_that_cannot_be_fetched_fails_the_task(system: System) -> None:
    answer = CLIENT.post(
        f"{system.gateway}/api/tasks",
        json={"user_email": USER, "user_query": "?", "base_url": f"{system.gateway}/api/nowhere"},
    )
    task_id = answer.json()["id"]
    task = poll_until("finished task", lambda: _finished(system, task_id))
    assert task["status"] == "error"
    assert task["result"] == {"error": "the server answered 404"}

    page = CLIENT.get(f"{system.gateway}/api/tasks", params={"status": "error", "limit": 5}).json()
    assert page["next"] is None
    assert [item["id"] for item in page["items"]] == [task_id]
    metrics = CLIENT.get(f"{system.task_manager}/api/metrics").text
    for window in ("1h", "6h", "24h", "168h"):
        assert f'web_crawl_tasks{{status="error",window="{window}"}} ' in metrics
    assert 'task_operations_total{operation="fail task",outcome="failed"} 1.0' in metrics


def test_wrong_requests_get_problem_documents(system: System) -> None:
    wrong = CLIENT.post(f"{system.gateway}/api/tasks", json={"user_email": "secret@", "base_url": "ftp://x"})
    missing = CLIENT.get(f"{system.gateway}/api/tasks/{'0' * 8}-0000-4000-8000-{'0' * 12}")
    nowhere = CLIENT.get(f"{system.gateway}/nowhere")
    for response, status in ((wrong, 422), (missing, 404), (nowhere, 404)):
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == status
    assert "secret@" not in json.dumps(wrong.json())
