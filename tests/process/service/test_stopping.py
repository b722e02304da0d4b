"""Real processes ended under load: every request answered or refused, every message's effect there, and once."""

from __future__ import annotations

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

from contracts.topics import CRAWL_TOPIC, STATUS_TOPIC
from service.common import messages
from service.common.messages import TaskRequest
from stack.polling import poll_until
from tests.process.service.test_outages import ids, read_topic
from tests.process.service.test_processes import answers, service
from tests.support.brokers import mock_brokers

TASK = TaskRequest(user_email="ada@example.com", user_query="?", base_url="http://site.example/")
_CLIENTS = 6
_GRACE_SECONDS = 30


class Load:
    """Clients that submit tasks until nobody answers, and what they were told."""

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
                except httpx.TransportError as error:  # told nothing: may be there or not
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
        service(
            "gateway", tmp_path / "log", KAFKA_BOOTSTRAP_SERVERS=brokers.addresses, KAFKA_PUBLISH_TIMEOUT_MS="5000"
        ) as (
            process,
            url,
        ),
    ):
        poll_until("gateway", partial(answers, f"{url}/demo"), seconds=60)
        poll_until("readiness", lambda: httpx.get(f"{url}/api/health/ready").is_success)
        load = Load(url)
        poll_until("load", lambda: len(load.accepted) >= 100)
        process.send_signal(signal.SIGTERM)
        assert process.wait(_GRACE_SECONDS) == 0
        load.join()
        assert set(load.refused) <= {"503", "RemoteProtocolError", "ReadError"}, load.refused
        found = read_topic(brokers.addresses, STATUS_TOPIC, lambda found: set(load.accepted) <= set(ids(found)))
        assert set(Counter(ids(found)).values()) == {1}


@pytest.mark.parametrize("wish", [signal.SIGTERM, signal.SIGKILL])
def test_every_message_has_its_effect_though_the_task_manager_ends_in_their_midst(
    wish: signal.Signals, tmp_path: Path
) -> None:
    database = tmp_path / "tasks.db"
    wanted = {str(uuid.uuid4()) for _ in range(400)}

    def stored() -> int:
        try:
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
                count: int = connection.execute("SELECT count(*) FROM web_crawl_tasks").fetchone()[0]
                return count
        except sqlite3.OperationalError:
            return 0

    with mock_brokers() as brokers:
        producer = Producer({"bootstrap.servers": brokers.addresses})
        for task_id in wanted:
            message = messages.new(uuid.UUID(task_id), TASK)
            producer.produce(message.topic, message.value, key=message.key, headers=list(message.headers))
        assert producer.flush(10) == 0
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": brokers.addresses,
            "KAFKA_PUBLISH_TIMEOUT_MS": "5000",
            "DATABASE_URL": f"sqlite:///{database}",
        }
        with service("task_manager", tmp_path / "log", **environment) as (process, _):
            poll_until("first effects", lambda: stored() >= 30, seconds=60)
            process.send_signal(wish)
            code = process.wait(_GRACE_SECONDS)
        before = stored()
        assert 30 <= before < len(wanted), "ended too late to tell anything"
        assert code == (0 if wish is signal.SIGTERM else -signal.SIGKILL)
        with service("task_manager", tmp_path / "log", **environment) as (process, _):
            # Killed, it is a member of its group until the brokers miss it.
            poll_until("all effects", lambda: stored() >= len(wanted), seconds=60)
            found = read_topic(brokers.addresses, CRAWL_TOPIC, lambda found: wanted <= set(ids(found)))
            process.send_signal(signal.SIGTERM)
            assert process.wait(_GRACE_SECONDS) == 0
    assert stored() == len(wanted)
    requests = Counter(ids(found))
    assert set(requests) == wanted
    if wish is signal.SIGTERM:
        assert set(requests.values()) == {1}, "a clean end does no work twice"
