"""What the task-manager forgets of a person: in its database, and in a real Kafka."""

import io
import json
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from checks.harness.kafka import KafkaBrokers
from contracts.services import CRAWLER, TASK_MANAGER
from contracts.topics import CRAWL_TOPIC, STATUS_TOPIC, dead_letter_topic
from lean_tracing import Redactor
from service.common.kafka.topics import create_missing_topics
from service.task_manager import forget as command
from service.task_manager.domain import NewTask, Task
from service.task_manager.postgres import SqlUnitOfWork, build_engine
from stack.components.kafka.settings import Kafka
from stack.polling import poll_until
from tests.support.kafka_process import libraries

TOPICS = (STATUS_TOPIC, CRAWL_TOPIC, dead_letter_topic(STATUS_TOPIC), dead_letter_topic(CRAWL_TOPIC))
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker with the topics of the services."""
    directory = tmp_path_factory.mktemp("kafka")
    brokers = KafkaBrokers(directory, libraries())
    brokers.configure(Kafka())
    try:
        brokers.start(0)
        brokers.wait(0)
        create_missing_topics({"bootstrap.servers": brokers.address(0)}, TOPICS, 1)
        yield brokers.address(0)
    finally:
        brokers.kill()


def _task(address: str) -> Task:
    return Task.create(NewTask(id=uuid.uuid4(), user_email=address, user_query="?", url="http://x/"), NOW)


def _first_offset(kafka: str, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "test"})
    low, _ = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)
    consumer.close()
    return int(low)


def _commit(kafka: str, topic: str, group: str, offset: int) -> None:
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": group, "enable.auto.commit": False})
    # A new broker has no coordinator of the group at first.
    poll_until("the commit", lambda: _is_committed(consumer, TopicPartition(topic, 0, offset)), seconds=60)
    consumer.close()


def _is_committed(consumer: Consumer, position: TopicPartition) -> bool:
    try:
        consumer.commit(offsets=[position], asynchronous=False)
    except KafkaException:
        return False
    return True


def test_ended_tasks_and_handled_messages_are_deleted_and_the_rest_is_named(
    kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'tasks.db'}"
    database = SqlUnitOfWork(build_engine(url))
    others = _task("bob@example.com").complete({"title": "x"}, NOW)
    with database.begin() as tasks:
        for _ in range(1200):
            tasks.add(_task("Ada@Example.com").complete({"title": "ada's page"}, NOW))
        tasks.add(_task("ada@example.com"))
        tasks.add(others)
    producer = Producer({"bootstrap.servers": kafka})
    for topic in TOPICS:
        for _ in range(5):
            producer.produce(topic, b"of ada@example.com")
    producer.flush(30)
    _commit(kafka, STATUS_TOPIC, TASK_MANAGER, 3)
    _commit(kafka, CRAWL_TOPIC, CRAWLER, 5)

    environment = {"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": kafka, "TRACING_HASH_KEY": "a key for tests"}
    monkeypatch.setattr(os, "environ", os.environ | environment)
    monkeypatch.setattr("sys.stdin", io.StringIO("ada@example.com\n"))
    assert command.main() == 0
    output = capsys.readouterr().out
    answer = json.loads(output)
    assert answer["tasks_deleted"] == 1200
    assert answer["tasks_not_ended"] == 1
    assert answer["partitions_deleted"] == {STATUS_TOPIC: 1, CRAWL_TOPIC: 1}
    assert set(answer["retention_hours"]) == set(TOPICS)
    assert answer["hash"] == Redactor("a key for tests").hash("ADA@example.com")
    assert "ada@" not in output.lower()
    with database.begin() as tasks:
        assert [task.user_email for task in tasks.list(limit=9)] != []
        assert {task.user_email for task in tasks.list(limit=9)} == {"ada@example.com", "bob@example.com"}
        assert tasks.get(others.id) == others
    database.stop()
    # The messages that a consumer has not handled yet stay, and so do dead letters.
    assert [_first_offset(kafka, topic) for topic in TOPICS] == [3, 5, 0, 0]


def test_without_kafka_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {"DATABASE_URL": f"sqlite:///{tmp_path / 'tasks.db'}", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    monkeypatch.setattr(os, "environ", os.environ | environment)
    monkeypatch.setattr("sys.stdin", io.StringIO("ada@example.com\n"))
    assert command.main() == 1
    assert "Kafka is unavailable" in capsys.readouterr().err
