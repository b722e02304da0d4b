"""Processes that are stopped or killed under load answer or refuse each request; each message has its effect once."""

import signal
import sqlite3
import threading
import uuid
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Producer

from checks.harness.http import CLIENT
from contracts.topics import CRAWL_TOPIC, STATUS_TOPIC
from service.common import messages
from service.common.messages import TaskRequest
from stack.polling import poll_until
from tests.support.brokers import mock_brokers
from tests.support.service_process import answers, service_process
from tests.support.topics import ids, read_topic

TASK = TaskRequest(user_email="ada@example.com", user_query="?", base_url="http://site.example/")
_CLIENTS = 6
_GRACE_SECONDS = 30


class Load:
    """Clients that submit tasks until the service no longer answers, and the answers."""

    def __init__(self, url: str) -> None:
        self.accepted: list[str] = []
        self.refused: Counter[str] = Counter()
        self._url = url
        self._threads = [threading.Thread(target=self._submit, daemon=True) for _ in range(_CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _submit(self) -> None:
        with httpx.Client(timeout=30) as client:
            while True:
                try:
                    answer = client.post(f"{self._url}/api/tasks", json=TASK.model_dump())
                except httpx.ConnectError:
                    return
                except httpx.TransportError as error:  # no answer: the task may exist or not
                    self.refused[type(error).__name__] += 1
                    continue
                if answer.status_code == 202:
                    self.accepted.append(answer.json()["id"])
                else:
                    self.refused[str(answer.status_code)] += 1

    def join(self) -> None:
        for thread in self._threads:
            thread.join(_GRACE_SECONDS)
            assert not thread.is_alive(), "a client waits for ever"


def test_every_task_the_gateway_accepted_before_its_end_is_published_once(tmp_path: Path) -> None:
    with (
        mock_brokers() as brokers,
        service_process(
            "gateway", tmp_path / "log", KAFKA_BOOTSTRAP_SERVERS=brokers.addresses, KAFKA_PUBLISH_TIMEOUT_MS="5000"
        ) as (
            process,
            url,
        ),
    ):
        poll_until("gateway", partial(answers, f"{url}/demo"))
        poll_until("readiness", lambda: CLIENT.get(f"{url}/api/health/ready").is_success)
        load = Load(url)
        poll_until("load", lambda: len(load.accepted) >= 100)
        process.send_signal(signal.SIGTERM)
        assert process.wait(_GRACE_SECONDS) == 0
        load.join()
        assert set(load.refused) <= {"503", "RemoteProtocolError", "ReadError"}, load.refused
        created = read_topic(brokers.addresses, STATUS_TOPIC, lambda created: set(load.accepted) <= set(ids(created)))
        assert set(Counter(ids(created)).values()) == {1}


@pytest.mark.parametrize("sent_signal", [signal.SIGTERM, signal.SIGKILL])
def test_every_message_has_its_effect_although_the_task_manager_ends(
    sent_signal: signal.Signals, tmp_path: Path
) -> None:
    database = tmp_path / "tasks.db"
    expected = {str(uuid.uuid4()) for _ in range(400)}

    def stored() -> int:
        try:
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
                count: int = connection.execute("SELECT count(*) FROM web_crawl_tasks").fetchone()[0]
                return count
        except sqlite3.OperationalError:
            return 0

    with mock_brokers() as brokers:
        producer = Producer({"bootstrap.servers": brokers.addresses})
        for task_id in expected:
            message = messages.new(uuid.UUID(task_id), TASK)
            producer.produce(message.topic, message.value, key=message.key, headers=list(message.headers))
        assert producer.flush(60) == 0
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": brokers.addresses,
            "KAFKA_PUBLISH_TIMEOUT_MS": "5000",
            "DATABASE_URL": f"sqlite:///{database}",
        }
        with service_process("task_manager", tmp_path / "log", **environment) as (process, _):
            poll_until("first effects", lambda: stored() >= 30)
            process.send_signal(sent_signal)
            code = process.wait(_GRACE_SECONDS)
        stored_at_end = stored()
        assert 30 <= stored_at_end < len(expected), "ended too late for this test"
        assert code == (0 if sent_signal is signal.SIGTERM else -signal.SIGKILL)
        with service_process("task_manager", tmp_path / "log", **environment) as (process, _):
            # A killed process stays a member of its group until its session expires.
            poll_until("all effects", lambda: stored() >= len(expected))
            published = read_topic(brokers.addresses, CRAWL_TOPIC, lambda messages: expected <= set(ids(messages)))
            process.send_signal(signal.SIGTERM)
            assert process.wait(_GRACE_SECONDS) == 0
    assert stored() == len(expected)
    requests = Counter(ids(published))
    assert set(requests) == expected
    if sent_signal is signal.SIGTERM:
        assert set(requests.values()) == {1}, "a clean end does no work twice"
