"""Outages of brokers and database: each accepted task is done, and each message has its effect once."""

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Producer
from opentelemetry import trace
from pydantic import SecretStr

from checks.harness.ports import free_port
from contracts.topics import CRAWL_TOPIC, STATUS_TOPIC, dead_letter_topic
from lean_tracing.kafka import message_headers
from lean_tracing.propagation import Propagator
from lean_tracing.testing import Recorder
from service.common import messages
from service.common.messages import CrawlRequest, Outgoing, TaskRequest
from service.task_manager import bootstrap as task_manager
from service.task_manager.config import TaskManagerSettings
from stack.polling import poll_until
from tests.support.brokers import Brokers, mock_brokers
from tests.support.serving import served
from tests.support.topics import headers_of, ids, read_topic

PROPAGATOR = Propagator()

TASK = TaskRequest(user_email="ada@example.com", user_query="?", base_url="http://site.example/")


@dataclass
class Manager:
    """A running task-manager, its brokers and its database."""

    brokers: Brokers
    database: Path
    client: httpx.Client
    recorder: Recorder

    def send(self, *outgoing: Outgoing) -> None:
        producer = Producer({"bootstrap.servers": self.brokers.addresses})
        for message in outgoing:
            producer.produce(message.topic, message.value, key=message.key, headers=list(message.headers))
        assert producer.flush(60) == 0

    def submit(self) -> str | None:
        """The id of a new task; None if the request was refused with 503."""
        answer = self.client.post("/api/tasks", json=TASK.model_dump())
        if answer.status_code == 503:
            assert answer.headers["retry-after"]
            return None
        assert answer.status_code == 202, answer.text
        task_id: str = answer.json()["id"]
        return task_id

    def status(self, task_id: str) -> str | None:
        answer = self.client.get(f"/api/tasks/{task_id}")
        return answer.json()["status"] if answer.is_success else None

    def metric(self, name: str, **labels: str) -> float:
        prefix = f"{name}{{{','.join(f'{key}={value!r}' for key, value in sorted(labels.items()))}}}".replace("'", '"')
        lines = self.client.get("/api/metrics").text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(prefix)), 0.0)


@pytest.fixture
def manager(make_recorder: Callable[[str], Recorder], tmp_path: Path) -> Iterator[Manager]:
    database = tmp_path / "data" / "tasks.db"
    database.parent.mkdir()
    with mock_brokers() as brokers:
        settings = TaskManagerSettings(
            host="127.0.0.1",
            port=free_port(),
            kafka_bootstrap_servers=brokers.addresses,
            publish_timeout_ms=1000,
            database_url=SecretStr(f"sqlite:///{database}?timeout=0.1"),
        )
        recorder = make_recorder("task-manager")
        with (
            served(task_manager.build(settings, recorder.tracing), settings) as url,
            httpx.Client(base_url=url, timeout=30) as client,
        ):
            manager = Manager(brokers, database, client, recorder)
            poll_until("partitions", lambda: manager.metric("kafka_consumer_partitions", topic=STATUS_TOPIC) > 0)
            yield manager


def test_tasks_survive_an_outage_of_the_brokers(manager: Manager) -> None:
    accepted = [manager.submit() for _ in range(3)]
    manager.brokers.down()
    assert manager.submit() is None
    poll_until("unreadiness", lambda: manager.client.get("/api/health/ready").status_code == 503)
    assert manager.client.get("/api/health/live").is_success
    manager.brokers.up()
    accepted += [poll_until("acceptance", manager.submit) for _ in range(3)]
    for task_id in accepted:
        poll_until("stored task", partial(manager.status, str(task_id)))
    expected = {str(task_id) for task_id in accepted}
    assert len(expected) == 6
    read_topic(manager.brokers.addresses, CRAWL_TOPIC, lambda requests: expected <= set(ids(requests)))
    poll_until("readiness", lambda: manager.client.get("/api/health/ready").is_success)


def test_a_request_that_could_not_be_sent_is_sent_by_a_later_attempt(manager: Manager) -> None:
    with closing(sqlite3.connect(manager.database)) as other:
        other.execute("BEGIN EXCLUSIVE")  # so that the task is not done before its request is refused
        task_id = str(manager.submit())
        manager.brokers.refuse(2)
    requests = read_topic(manager.brokers.addresses, CRAWL_TOPIC, bool)
    assert ids(requests) == [task_id]
    assert manager.metric("kafka_messages_produced_total", topic=CRAWL_TOPIC, outcome="failure") >= 2
    poll_until(
        "visible repetition",
        lambda: manager.metric("task_operations_total", operation="create task", outcome="duplicate") == 1,
    )
    assert manager.metric("kafka_messages_consumed_total", topic=STATUS_TOPIC, outcome="dead_letter") == 0
    assert manager.status(task_id) == "new"


def test_messages_wait_for_a_locked_database(manager: Manager) -> None:
    first = str(manager.submit())
    poll_until("stored task", lambda: manager.status(first))
    with closing(sqlite3.connect(manager.database)) as other:
        other.execute("BEGIN EXCLUSIVE")
        later = [str(manager.submit()) for _ in range(3)]
        poll_until(
            "tries", lambda: manager.metric("kafka_messages_consumed_total", topic=STATUS_TOPIC, outcome="retried") >= 2
        )
        refused = manager.client.get(f"/api/tasks/{first}")
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
    for task_id in later:
        poll_until("stored task", partial(manager.status, task_id))
    assert manager.metric("kafka_messages_consumed_total", topic=STATUS_TOPIC, outcome="dead_letter") == 0


def test_a_deleted_database_is_created_again(manager: Manager) -> None:
    moved = manager.database.parent.with_name("moved")
    manager.database.parent.rename(moved)
    task_id = str(manager.submit())
    poll_until("a try", lambda: manager.metric("kafka_messages_consumed_total", topic=STATUS_TOPIC, outcome="retried"))
    moved.joinpath("tasks.db").unlink()
    manager.database.parent.mkdir()
    poll_until("stored task", lambda: manager.status(task_id) == "new", seconds=40)


def test_every_case_of_the_state_machine_is_visible_end_to_end(manager: Manager) -> None:
    def operations(operation: str, outcome: str) -> Callable[[], bool]:
        return lambda: manager.metric("task_operations_total", operation=operation, outcome=outcome) >= 1

    request = CrawlRequest(id=uuid.uuid4(), task=TASK)
    other = TASK.model_copy(update={"user_query": "something else"})
    steps: list[tuple[Outgoing, str, str]] = [
        (messages.completed(request, {"title": "early"}), "complete task", "unknown_task"),
        (messages.new(request.id, TASK), "create task", "created"),
        (messages.new(request.id, TASK), "create task", "duplicate"),
        (messages.new(request.id, other), "create task", "conflict"),
        (messages.completed(request, {"title": "page"}), "complete task", "completed"),
        (messages.completed(request, {"title": "again"}), "complete task", "duplicate"),
        (messages.failed(request, "late"), "fail task", "out_of_order"),
    ]
    for outgoing, operation, outcome in steps:
        manager.send(outgoing)
        poll_until(f"{operation}: {outcome}", operations(operation, outcome))
    task = manager.client.get(f"/api/tasks/{request.id}").json()
    assert (task["status"], task["result"]) == ("completed", {"title": "page"})
    outcomes = {
        (span.attributes or {}).get("task.outcome")
        for span in manager.recorder.spans()
        if (span.attributes or {}).get("task.id") == str(request.id)
    }
    assert outcomes >= {"unknown_task", "created", "duplicate", "conflict", "completed", "out_of_order"}

    letters = read_topic(manager.brokers.addresses, dead_letter_topic(STATUS_TOPIC), lambda letters: len(letters) == 2)
    reasons = [headers_of(letter)["dead-letter-reason"] for letter in letters]
    assert b"no task with the id" in reasons[0] + reasons[1]
    assert b"for something else" in reasons[0] + reasons[1]


def test_a_dead_letter_is_in_the_trace_of_the_message_it_was(manager: Manager) -> None:
    with manager.recorder.traces.span("sender") as span:
        headers = PROPAGATOR.to_kafka([("status", b"odd"), ("mine", None)])
    trace_id = span.get_span_context().trace_id
    manager.send(Outgoing(topic=STATUS_TOPIC, key="k", value=b"\xff", headers=tuple(headers)))  # type: ignore[arg-type]
    (letter,) = read_topic(manager.brokers.addresses, dead_letter_topic(STATUS_TOPIC), bool)
    assert letter.value() == b"\xff"
    kept = headers_of(letter)
    assert (kept["status"], kept["mine"]) == (b"odd", None)
    context = PROPAGATOR.from_kafka(message_headers(letter))
    assert trace.get_current_span(context).get_span_context().trace_id == trace_id


def test_a_message_too_large_for_its_own_dead_letter_blocks_nothing(manager: Manager) -> None:
    # With the reason on it, it is over the client's limit of a million bytes.
    large = Outgoing(topic=STATUS_TOPIC, key="k", value=b"x" * 999_800, headers=(("status", b"odd"),))
    manager.send(large, messages.new(task_id := uuid.uuid4(), TASK))
    poll_until("next message", lambda: manager.status(str(task_id)))
    (letter,) = read_topic(manager.brokers.addresses, dead_letter_topic(STATUS_TOPIC), bool)
    headers = headers_of(letter)
    assert letter.value() is None
    assert headers["dead-letter-source"].startswith(b"task-status/")
    assert headers["dead-letter-body"] == b"left out, too large"
