"""The task-manager's database side on SQLite and on a real Postgres, and the consumer loop on Kafka's protocol."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer
from sqlalchemy import inspect

from contracts.tasks import TaskStatus
from service.common import messages
from service.common.config import ServiceSettings
from service.common.errors import MalformedMessage, Unavailable
from service.common.kafka.publisher import KafkaPublisher
from service.common.kafka.received import Received
from service.common.messages import TaskRequest
from service.common.metrics import Metrics
from service.task_manager.domain import NewTask, Task
from service.task_manager.postgres import SqlUnitOfWork, build_engine
from service.tracing.kafka import message_headers
from stack.polling import poll_until
from tests.support.loop import Loop
from tests.support.service import Recorder

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


# --- database ---------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, recorder: Recorder, tmp_path: Path) -> Iterator[SqlUnitOfWork]:
    url = request.getfixturevalue("postgres") if request.param == "postgres" else f"sqlite:///{tmp_path / 'tasks.db'}"
    unit_of_work = SqlUnitOfWork(build_engine(url, recorder.traces))
    # Postgres may still be starting up when its port is open.
    poll_until("schema", lambda: _made(unit_of_work))
    yield unit_of_work
    unit_of_work.stop()


def _made(unit_of_work: SqlUnitOfWork) -> bool:
    try:
        unit_of_work.ensure_schema()
    except Unavailable:
        return False
    return True


def _task(at: datetime = NOW) -> Task:
    new = NewTask(id=uuid.uuid4(), user_email="ada@example.com", user_query="?", url="http://x/")
    return Task.create(new, at)


def test_tasks_come_back_as_stored(database: SqlUnitOfWork, recorder: Recorder) -> None:
    task = _task()
    with database.begin() as tasks:
        before = tasks.count_by_status([NOW])[0][TaskStatus.COMPLETED]
        assert tasks.add(task)
        assert not tasks.add(task)
    with database.begin() as tasks:
        oldest = tasks.oldest(TaskStatus.NEW)
        assert oldest is not None
        assert oldest <= task.created_at
    done = task.complete({"title": "é\N{SNOWMAN}", "n": [1, None]}, NOW + timedelta(seconds=1))
    with database.begin() as tasks:
        assert tasks.get(task.id, for_update=True) == task
        tasks.update(done)
    with database.begin() as tasks:
        assert tasks.get(task.id) == done
        assert tasks.get(uuid.uuid4()) is None
        now, later = tasks.count_by_status([NOW, NOW + timedelta(days=10_000)])
        assert now[TaskStatus.COMPLETED] == before + 1
        assert later == dict.fromkeys(TaskStatus, 0)
        assert task.id in [found.id for found in tasks.list(limit=100, status=TaskStatus.COMPLETED)]
    assert {"INSERT web_crawl_tasks", "UPDATE web_crawl_tasks"} <= {span.name for span in recorder.spans()}
    assert "ada@example.com" not in " ".join(span.to_json() for span in recorder.spans())


def test_an_error_rolls_back(database: SqlUnitOfWork) -> None:
    task = _task()

    def interrupted() -> None:
        with database.begin() as tasks:
            assert tasks.add(task)
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    with database.begin() as tasks:
        assert tasks.get(task.id) is None


def test_newest_first_and_in_pages(database: SqlUnitOfWork) -> None:
    # In the future, before whatever other tests left in the same database; two of one moment differ in their ids.
    made = [_task(NOW + timedelta(days=9000, seconds=number // 2)) for number in range(6)]
    newest_first = sorted(made, key=lambda task: (task.created_at, task.id), reverse=True)
    with database.begin() as tasks:
        for task in made:
            tasks.add(task)
        place = None
        for expected in (newest_first[:4], newest_first[4:]):
            page = tasks.list(limit=4, after=place)
            assert page[: len(expected)] == expected
            place = (page[-1].created_at, page[-1].id)


def test_schema_is_made_by_many_at_once(database: SqlUnitOfWork) -> None:
    with ThreadPoolExecutor(4) as workers:
        for outcome in [workers.submit(database.ensure_schema) for _ in range(8)]:
            outcome.result()


def test_a_database_is_up_once_it_has_its_schema(recorder: Recorder, tmp_path: Path) -> None:
    engine = build_engine(f"sqlite:///{tmp_path / 'new.db'}?timeout=0.1", recorder.traces)
    unit_of_work = SqlUnitOfWork(engine)
    other = sqlite3.connect(tmp_path / "new.db", timeout=0)
    other.execute("BEGIN EXCLUSIVE")  # as long as another one migrates
    with pytest.raises(Unavailable):
        unit_of_work.check()
    other.close()
    unit_of_work.check()
    assert inspect(engine).has_table("web_crawl_tasks")
    unit_of_work.check()
    unit_of_work.stop()


def test_a_database_that_is_away_is_unavailable(recorder: Recorder) -> None:
    unit_of_work = SqlUnitOfWork(build_engine("postgresql+psycopg://a:hunter2@127.0.0.1:1/x", recorder.traces))
    with pytest.raises(Unavailable) as error, unit_of_work.begin():
        pass
    assert "hunter2" not in str(error.value)


# --- consumer loop ----------------------------------------------------------------------------------------------------


def _send(kafka: str, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 0})
    for value in values:
        producer.produce(topic, value, partition=0, headers=[("id", b"7")])
    assert producer.flush(10) == 0


def test_unavailable_brings_the_message_back_in_order(kafka: str, recorder: Recorder) -> None:
    seen: list[bytes | None] = []

    def handler(received: Received) -> str:
        seen.append(received.value)
        if seen.count(b"first") < 3:
            raise Unavailable("the database is unavailable")
        return "created"

    _send(kafka, "loop-retry", b"first", b"second")
    loop = Loop(kafka, recorder, "loop-retry", handler)
    try:
        poll_until("both messages", lambda: loop.consumed("created") == 2)
    finally:
        loop.stop()
    assert seen == [b"first", b"first", b"first", b"second"]
    assert loop.consumed("retried") == 2


def test_poison_goes_to_the_dead_letters_and_the_next_message_is_handled(kafka: str, recorder: Recorder) -> None:
    def handler(received: Received) -> str:
        if received.value == b"poison":
            raise MalformedMessage("header status is missing")
        if received.value == b"bug":
            raise ZeroDivisionError("of ada@example.com " + "é" * 600)
        return "created"

    _send(kafka, "loop-poison", b"poison", b"bug", b"good")
    loop = Loop(kafka, recorder, "loop-poison", handler)
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "letters", "auto.offset.reset": "earliest"})
    letters: list[Message] = []

    def read_letters() -> bool:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            letters.append(message)
        return len(letters) == 2

    try:
        poll_until("good message", lambda: loop.consumed("created") == 1)
        consumer.subscribe(["loop-poison.dead-letter"])
        poll_until("dead letters", read_letters)
    finally:
        consumer.close()
        loop.stop()
    headers = {letter.value(): dict(message_headers(letter)) for letter in letters}
    assert headers[b"poison"]["dead-letter-reason"] == b"MalformedMessage: header status is missing"
    assert headers[b"poison"]["id"] == b"7"
    assert headers[b"poison"]["dead-letter-source"] == b"loop-poison/0/0"
    reason = headers[b"bug"]["dead-letter-reason"]
    assert isinstance(reason, bytes)
    assert len(reason) <= 1024
    assert reason.decode().endswith("é"), "cut between characters"
    assert "ada@example.com" not in reason.decode()
    assert "traceparent" in headers[b"bug"]
    assert loop.consumed("dead_letter") == 2


def test_a_stopped_loop_goes_on_where_it_was(kafka: str, recorder: Recorder) -> None:
    seen: list[bytes | None] = []

    def handler(received: Received) -> str:
        seen.append(received.value)
        return "created"

    for value in (b"one", b"two"):
        _send(kafka, "loop-again", value)
        loop = Loop(kafka, recorder, "loop-again", handler)
        poll_until(f"message {value!r}", partial(seen.__contains__, value))
        loop.stop()
    assert seen == [b"one", b"two"]


def test_publishing_without_a_broker_is_unavailable_in_time(recorder: Recorder) -> None:
    settings = ServiceSettings(kafka_bootstrap_servers="127.0.0.1:1", publish_timeout_ms=200)
    publisher = KafkaPublisher(settings, recorder.traces, Metrics(), client_id="p", topics=("t",))
    publisher.start()
    try:
        body = TaskRequest(user_email="a@b.cc", user_query="?", base_url="http://x/")
        with pytest.raises(Unavailable, match="Kafka is unavailable"):
            publisher.publish(messages.new(uuid.uuid4(), body))
        with pytest.raises(Unavailable):
            publisher.ensure_topics()
    finally:
        publisher.stop()
