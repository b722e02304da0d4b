"""The HTTP side of the services as a client sees it: problems, limits, pages, repeated requests, metrics."""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import pytest
from confluent_kafka import Producer
from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse
from opentelemetry import trace
from pydantic import SecretStr

from checks.harness.ports import free_port
from contracts.tasks import TaskStatus
from contracts.topics import STATUS_TOPIC
from lean_tracing import TracingSettings
from lean_tracing.testing import Recorder
from lean_tracing.usage import usage
from service.common import problems
from service.common.access import ANYONE, OpenGuard
from service.common.bodies import BodyLimits
from service.common.errors import Unavailable
from service.common.messages import Outgoing, TaskRequest
from service.common.metrics import Metrics
from service.common.submission import submission_router, task_id_of
from service.common.views import TaskQuery, cursor_of, position_of
from service.crawler.config import CrawlerSettings
from service.gateway import bootstrap as gateway
from service.gateway.api import TaskReader
from service.gateway.config import GatewaySettings
from service.task_manager import bootstrap as task_manager
from service.task_manager.config import TaskManagerSettings
from service.task_manager.domain import NewTask, Task
from service.task_manager.telemetry import TaskCounts
from service.task_manager.use_cases import Tasks
from stack.polling import poll_until
from tests.support.brokers import mock_brokers
from tests.support.fakes import FakeObserver, FakePublisher, FakeTasks
from tests.support.serving import served

BODY = {"user_email": "ada@example.com", "user_query": "?", "base_url": "http://site.example/"}


@dataclass(frozen=True)
class Pair:
    gateway: httpx.Client
    task_manager: httpx.Client
    gateway_spans: Recorder
    task_manager_spans: Recorder


@pytest.fixture(scope="module")
def own_kafka() -> Iterator[str]:
    """Brokers that no other test uses."""
    with mock_brokers() as brokers:
        yield brokers.addresses


@pytest.fixture(scope="module")
def pair(
    own_kafka: str, make_recorder: Callable[[str], Recorder], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """Gateway and task-manager, and no crawler: what is submitted stays new."""
    common: dict[str, Any] = {"host": "127.0.0.1", "kafka_bootstrap_servers": own_kafka}
    manager = TaskManagerSettings(
        port=free_port(),
        database_url=SecretStr(f"sqlite:///{tmp_path_factory.mktemp('database') / 'tasks.db'}"),
        **common,
    )
    front = GatewaySettings(port=free_port(), task_manager_url=f"http://127.0.0.1:{manager.port}", **common)
    manager_spans, gateway_spans = make_recorder("task-manager"), make_recorder("gateway")
    with (
        served(task_manager.build(manager, manager_spans.tracing), manager) as manager_url,
        served(gateway.build(front, gateway_spans.tracing), front) as gateway_url,
        httpx.Client(base_url=gateway_url) as gateway_client,
        httpx.Client(base_url=manager_url) as task_manager_client,
    ):
        for client in (gateway_client, task_manager_client):
            poll_until("readiness", partial(_succeeds, client, "/api/health/ready"))
        yield Pair(gateway_client, task_manager_client, gateway_spans, manager_spans)


def _succeeds(client: httpx.Client, path: str) -> bool:
    return client.get(path).is_success


def _both(pair: Pair) -> tuple[httpx.Client, httpx.Client]:
    return pair.gateway, pair.task_manager


def _assert_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["trace_id"] == answer.headers["traceparent"].split("-")[1]
    return body


# --- problems ---------------------------------------------------------------------------------------------------------


def test_every_refusal_is_a_problem_with_its_trace(pair: Pair) -> None:
    for client in _both(pair):
        _assert_problem(client.get("/nowhere"), 404)
        _assert_problem(client.get(f"/api/tasks/{uuid.uuid4()}"), 404)
        _assert_problem(client.get("/api/tasks/4711"), 422)
        _assert_problem(client.delete("/api/tasks"), 405)
        assert client.delete("/api/tasks").headers["allow"]
        _assert_problem(client.post("/api/tasks", content=b"x=1", headers={"content-type": "text/plain"}), 415)
        _assert_problem(client.post("/api/tasks", content=json.dumps(BODY)), 415)
        _assert_problem(client.post("/api/tasks", content=b"{", headers={"content-type": "application/json"}), 422)
        _assert_problem(client.post("/api/tasks", json={**BODY, "extra": 1}), 422)
        _assert_problem(client.post("/api/tasks", json={**BODY, "user_query": "x" * 70_000}), 413)
        for query in ("limit=0", "limit=101", "status=odd", "cursor=odd", "offset=1"):
            problem = _assert_problem(client.get(f"/api/tasks?{query}"), 422)
            assert problem["errors"][0]["field"] == f"query.{query.partition('=')[0]}"


def test_a_body_without_length_is_cut_off_as_well(pair: Pair) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1000

    headers = {"content-type": "application/json"}
    _assert_problem(pair.gateway.post("/api/tasks", content=chunks(), headers=headers), 413)


def test_a_body_that_does_not_arrive_gets_status_408() -> None:
    app = FastAPI()

    @app.post("/")
    async def take(body: dict[str, Any]) -> None: ...

    async def run() -> int:
        async def dripping() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

        transport = httpx.ASGITransport(BodyLimits(app, max_seconds=0.05))
        async with httpx.AsyncClient(transport=transport, base_url="http://under.test") as client:
            answer = await client.post("/", content=dripping(), headers={"content-type": "application/json"})
            return answer.status_code

    assert asyncio.run(asyncio.wait_for(run(), 10)) == 408


def test_the_gateway_forwards_no_foreign_page_and_reports_an_outage(recorder: Recorder) -> None:
    page = FastAPI()

    @page.get("/api/tasks")
    async def tasks() -> Any:
        return HTMLResponse("<h1>a proxy's page</h1>", 502)

    settings = GatewaySettings(host="127.0.0.1", port=free_port())

    async def read(url: str) -> Any:
        reader = TaskReader(url, recorder.traces, patience=0)
        try:
            return await reader.read("/api/tasks", ANYONE)
        finally:
            await reader.close()

    with served(page, settings) as url, pytest.raises(HTTPException) as refused:
        asyncio.run(read(url))
    assert refused.value.status_code == 502
    with pytest.raises(Unavailable, match="task-manager is unavailable"):
        asyncio.run(read("http://127.0.0.1:1"))


def test_the_documents_list_all_answers(pair: Pair) -> None:
    for client in _both(pair):
        document = client.get("/openapi.json").json()
        submit = document["paths"]["/api/tasks"]["post"]
        assert {"202", "413", "415", "422", "503"} <= submit["responses"].keys()
        assert "Retry-After" in submit["responses"]["503"]["headers"]
        assert submit["responses"]["422"]["content"].keys() == {"application/problem+json"}
        assert "Idempotency-Key" in [parameter["name"] for parameter in submit["parameters"]]
        listing = document["paths"]["/api/tasks"]["get"]
        assert {parameter["name"] for parameter in listing["parameters"]} == {"limit", "status", "cursor"}
        assert {"Problem", "TaskPage", "TaskView"} <= document["components"]["schemas"].keys()
        assert "HTTPValidationError" not in json.dumps(document)


# --- pages ------------------------------------------------------------------------------------------------------------


def test_pages_follow_their_links_and_miss_nothing(pair: Pair) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    made = {pair.gateway.post("/api/tasks", json={**BODY, "user_email": email}).json()["id"] for _ in range(5)}
    for task_id in made:
        poll_until("stored task", partial(_succeeds, pair.gateway, f"/api/tasks/{task_id}"))
    for client in _both(pair):
        listed: list[str] = []
        link: str | None = "/api/tasks?limit=2&status=new"
        while link:
            page = client.get(link)
            assert page.is_success, page.text
            items = page.json()["items"]
            assert len(items) <= 2
            listed += [item["id"] for item in items if item["user_email"] == email]
            link = page.json()["next"]
        assert sorted(listed) == sorted(made)


def test_a_cursor_is_read_back_and_everything_else_refused() -> None:
    place = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), uuid.uuid4()
    assert position_of(cursor_of(place)) == place
    assert TaskQuery(limit=3, status=TaskStatus.ERROR).next(place).startswith("/api/tasks?limit=3&status=error&cursor=")
    for odd in ("", "=", "a", "\N{SNOWMAN}", cursor_of(place)[:-4], "MjAyNg"):
        with pytest.raises(ValueError, match="not a cursor"):
            position_of(odd)


# --- repeated requests ------------------------------------------------------------------------------------------------


def test_the_same_request_with_the_same_key_is_the_same_task(pair: Pair) -> None:
    def submit(key: str | None, **changes: str) -> str:
        headers = {"Idempotency-Key": key} if key else {}
        answer = pair.gateway.post("/api/tasks", json={**BODY, **changes}, headers=headers)
        assert answer.status_code == 202, answer.text
        task_id: str = answer.json()["id"]
        return task_id

    first = submit("order-1")
    assert submit("order-1") == first
    assert pair.task_manager.post("/api/tasks", json=BODY, headers={"Idempotency-Key": "order-1"}).json()["id"] == first
    others = {submit("order-2"), submit("order-1", user_email="bob@example.com"), submit(None), submit(None)}
    assert len(others) == 4
    assert first not in others
    _assert_problem(pair.gateway.post("/api/tasks", json=BODY, headers={"Idempotency-Key": "a b"}), 422)


def test_a_task_without_a_key_is_a_new_one() -> None:
    task = TaskRequest.model_validate(BODY)
    assert task_id_of(task, None) != task_id_of(task, None)
    assert task_id_of(task, "k") == task_id_of(task, "k")


def test_an_unavailable_publisher_is_a_503(recorder: Recorder) -> None:
    async def publish(_: Outgoing) -> None:
        raise Unavailable("Kafka is unavailable", "_MSG_TIMED_OUT")

    app = FastAPI()
    problems.install(app)
    app.include_router(submission_router(publish, recorder.tracing.redactor, OpenGuard()))

    async def post() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://under.test") as client:
            return await client.post("/api/tasks", json=BODY)

    answer = asyncio.run(post())
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_lead_to_traces_for_those_who_accept_openmetrics(pair: Pair) -> None:
    task_id = pair.gateway.post("/api/tasks", json=BODY).json()["id"]
    poll_until("stored task", lambda: pair.gateway.get(f"/api/tasks/{task_id}").is_success)
    plain = pair.gateway.get("/api/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    assert "trace_id" not in plain.text
    accept = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
    for client, recorder, histogram in (
        (pair.gateway, pair.gateway_spans, "http_server_request_duration_seconds"),
        (pair.task_manager, pair.task_manager_spans, "kafka_message_processing_seconds"),
    ):
        answer = client.get("/api/metrics", headers=accept)
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")
        exemplars = re.findall(rf'{histogram}_bucket.* # {{span_id="(\w+)",trace_id="(\w+)"}}', answer.text)
        assert exemplars
        recorded = {
            (trace.format_span_id(span.context.span_id), trace.format_trace_id(span.context.trace_id))
            for span in recorder.spans()
        }
        assert recorded.issuperset(exemplars)


def test_requests_of_the_probe_are_counted_apart_from_those_of_users(pair: Pair) -> None:
    agent = {"User-Agent": "web-crawl-probe"}
    task_id = pair.gateway.post("/api/tasks", json={**BODY, "user_email": "probe@example.com"}, headers=agent).json()[
        "id"
    ]
    poll_until("stored task", lambda: pair.gateway.get(f"/api/tasks/{task_id}", headers=agent).is_success)
    lines = [line for line in _series(pair.gateway) if line.startswith("http_server_requests_total")]
    assert [line for line in lines if 'method="POST"' in line and 'status="202",synthetic="test"' in line]
    pair.gateway.post("/api/tasks", json=BODY)
    assert [line for line in _series(pair.gateway) if 'status="202",synthetic=""' in line]


def _series(client: httpx.Client) -> set[str]:
    lines = client.get("/api/metrics").text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


def _send_unforeseen_requests(client: httpx.Client, numbers: range) -> None:
    """Each request differs from all others in the parts that a client can choose."""
    for number in numbers:
        client.request(f"BREW{number}", "/api/tasks")
        client.request("get" if number % 2 else f"Get{number}", "/api/tasks")
        client.get(f"/nowhere/{number}")
        client.get(f"/api/tasks/{uuid.uuid4()}")
        client.get("/api/tasks", params={"status": f"s{number}"})
        headers = {"user-agent": f"a/{number}", "host": f"h{number}", "x-correlation-id": f"c{number}"}
        client.get("/api/tasks", params={f"p{number}": "1"}, headers=headers)


def test_no_client_makes_new_series(pair: Pair) -> None:
    for client in _both(pair):
        _send_unforeseen_requests(client, range(2))
        series = _series(client)
        _send_unforeseen_requests(client, range(2, 40))
        assert _series(client) == series
        assert any('method="_OTHER",route="/api/tasks"' in name for name in series)
        assert not any("BREW" in name for name in series)
    names = {span.name for recorder in (pair.gateway_spans, pair.task_manager_spans) for span in recorder.spans()}
    assert not [name for name in names if "BREW" in name or "nowhere" in name]


def test_one_query_serves_all_scrapes_of_some_seconds() -> None:
    class Counted(FakeTasks):
        queries = 0

        @contextmanager
        def begin(self) -> Iterator[FakeTasks]:
            self.queries += 1
            with super().begin() as tasks:
                yield tasks

    stored, now = Counted(), [0.0]
    new = NewTask(id=uuid.uuid4(), user_email="a@b.cc", user_query="?", url="x")
    task = Task.create(new, datetime.now(UTC))
    stored.stored[task.id] = task
    counts = TaskCounts(Tasks(stored, FakePublisher(), FakeObserver()), clock=lambda: now[0])
    metrics = Metrics()
    metrics.registry.register(counts)

    def sample(window: str) -> float | None:
        return metrics.registry.get_sample_value("web_crawl_tasks", {"status": "new", "window": window})

    assert [sample(window) for window in ("1h", "6h", "24h", "168h")] == [1, 1, 1, 1]
    assert metrics.registry.get_sample_value("web_crawl_tasks_oldest_seconds") is not None
    assert stored.queries == 2
    stored.is_available, now[0] = False, 6.0
    assert [sample("1h") for _ in range(3)] == [None] * 3
    assert metrics.registry.get_sample_value("web_crawl_tasks_oldest_seconds") is None
    assert stored.queries == 3
    stored.is_available, now[0] = True, 12.0
    assert sample("1h") == 1


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [GatewaySettings, TaskManagerSettings, CrawlerSettings])
def test_help_names_every_variable_with_its_default(model: Any) -> None:
    text = usage("python -m service.x", "Serves.", model, TracingSettings)
    for settings in (model, TracingSettings):
        for field in settings.model_fields.values():
            assert f"  {field.alias} " in text
    assert "KAFKA_PUBLISH_TIMEOUT_MS" in text
    assert "milliseconds, 100 to 60000 (default: 5000)" in text
    assert "secret of at least 8 characters (default: none)" in text
    assert max(map(len, text.splitlines())) < 200


# --- foreign input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 60_000,
        b"[" * 30_000 + b"]" * 30_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        json.dumps(BODY)[:-1].encode() + b',"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"user_email":' + b"9" * 60_000 + b"}",
        b'{"user_email":1e999999}',
        b'{"user_email":NaN}',
        b'{"user_email":"\\ud800"}',
        b'{"\\ud800":1}',
        b'{"user_email":"\xff"}',
        ("{" + ",".join(f'"{number}":0' for number in range(6500)) + "}").encode(),
        b'{"' + b"a" * 60_000 + b'":0}',
        b"",
    ],
)
def test_no_body_costs_more_than_a_short_answer(body: bytes, pair: Pair) -> None:
    answer = pair.gateway.post("/api/tasks", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == problems.MEDIA_TYPE
    assert len(answer.content) < 4096


def test_no_query_costs_more_than_a_short_answer(pair: Pair) -> None:
    answer = pair.gateway.get("/api/tasks?" + "&".join(f"a{number}=1" for number in range(5000)))
    assert answer.status_code == 422
    assert len(answer.content) < 4096


@pytest.mark.parametrize(
    "result",
    [b"[" * 190 + b"]" * 190, b"[" + b"9" * 4000 + b"]", b'"' + b"a" * 250_000 + b'"', b"[-0.0]", b'{"": ""}'],
    ids=range(5),
)
def test_any_result_that_is_stored_can_be_read(result: bytes, pair: Pair, own_kafka: str) -> None:
    task_id = pair.gateway.post("/api/tasks", json=BODY).json()["id"]
    poll_until("the task", lambda: pair.gateway.get(f"/api/tasks/{task_id}").is_success)
    producer = Producer({"bootstrap.servers": own_kafka, "log_level": 0})
    headers = [("status", b"completed"), ("id", task_id.encode())]
    producer.produce(STATUS_TOPIC, b'{"crawl_result":' + result + b"}", key=task_id, headers=headers)
    assert producer.flush(60) == 0
    poll_until("its end", lambda: pair.gateway.get(f"/api/tasks/{task_id}").json()["status"] != "new")
    assert pair.gateway.get(f"/api/tasks/{task_id}").json()["result"] == json.loads(result)
