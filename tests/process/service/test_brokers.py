"""Clients that have lost their brokers are told from brokers that are away, and made anew."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer

from checks.harness.polling import poll_until
from service.common import brokers
from service.common.config import ServiceSettings
from service.common.kafka import KafkaPublisher, Received
from service.common.messages import Outgoing
from service.common.metrics import Metrics
from tests.support.leaving import LeavingBroker, leaving_broker
from tests.support.loop import Loop
from tests.support.service import Recorder

_LEAVES = 100
"""At most; about four are enough."""


@pytest.fixture
def broker() -> Iterator[LeavingBroker]:
    with leaving_broker() as broker:
        yield broker


def _configured(address: str) -> dict[str, Any]:
    return brokers.configuration(ServiceSettings(kafka_bootstrap_servers=address), "test") | {"log_level": 0}


def _lose(client: Producer, broker: LeavingBroker) -> bool:
    """Has the broker leave and come back until the client no longer finds it."""
    over = threading.Event()

    def ask() -> bool:
        try:
            client.list_topics(timeout=0.5)
        except KafkaException:
            return False
        return True

    def keep_asking() -> None:
        while not over.is_set():
            ask()

    asking = [threading.Thread(target=keep_asking) for _ in range(8)]
    for thread in asking:
        thread.start()
    try:
        for number in range(_LEAVES):
            broker.leaving = True
            over.wait(0.02 + 0.01 * (number % 7))
            broker.leaving = False
            if not any(ask() for _ in range(5)):
                return True
    finally:
        over.set()
        for thread in asking:
            thread.join()
    return False


def test_a_client_that_lost_its_brokers_is_told_from_one_that_needs_time(
    broker: LeavingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brokers, "CHECK_SECONDS", 0.5)
    configured = _configured(broker.address)
    client = Producer(configured)
    watch = brokers.Watch(client, configured)
    watch.ask()
    if not _lose(client, broker):
        pytest.skip("this version of the client keeps its way to the brokers: `Lost` can go once it is the oldest used")
    for _ in range(2):
        with pytest.raises(KafkaException):
            watch.ask()
    monkeypatch.setattr(brokers, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(brokers.Lost, match="Kafka answers others"):
        watch.ask()
    brokers.Watch(Producer(configured), configured).ask()


def test_brokers_that_are_away_are_no_reason_for_a_new_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "CHECK_SECONDS", 0.5)
    monkeypatch.setattr(brokers, "PATIENCE_SECONDS", 0.0)
    configured = _configured("127.0.0.1:1")
    watch = brokers.Watch(Producer(configured), configured)
    for _ in range(3):
        with pytest.raises(KafkaException):
            watch.ask()


class _LosesOnce:
    """In the place of `brokers.Watch`: the first client of its kind is lost."""

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self.watched: list[Any] = []
        self.found: list[Any] = []

    def __call__(self, client: Any, configured: dict[str, Any]) -> _LosesOnce._Watch:
        if isinstance(client, self._kind):
            self.watched.append(client)
        return self._Watch(self, client)

    class _Watch:
        def __init__(self, all_of_them: _LosesOnce, client: Any) -> None:
            self._all = all_of_them
            self._client = client

        def ask(self) -> None:
            if self._client is self._all.watched[0]:
                raise brokers.Lost("Kafka answers others")
            self._all.found.append(self._client)


def test_a_publisher_that_lost_its_brokers_goes_on_with_a_new_client(
    kafka: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    watches = _LosesOnce(Producer)
    monkeypatch.setattr(brokers, "Watch", watches)
    publisher = KafkaPublisher(
        ServiceSettings(kafka_bootstrap_servers=kafka), recorder.traces, Metrics(), client_id="p", topics=("lost-1",)
    )
    publisher.start()
    try:
        publisher.check()  # the topics
        message = Outgoing(topic="lost-1", key="k", value=b"v", headers=())
        publisher.publish(message)
        with pytest.raises(brokers.Lost):
            publisher.check()
        publisher.publish(message)
        publisher.check()
        assert watches.found == watches.watched[1:]
    finally:
        publisher.stop()


def test_a_consumer_that_lost_its_brokers_goes_on_with_a_new_client(
    kafka: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    watches = _LosesOnce(Consumer)
    monkeypatch.setattr(brokers, "Watch", watches)
    monkeypatch.setattr("service.common.kafka._SILENCE_SECONDS", 0.5)
    seen: list[bytes | None] = []

    def handler(received: Received) -> str:
        seen.append(received.value)
        return "done"

    consuming = Loop(kafka, recorder, "lost-2", handler)
    try:
        poll_until("the first consumer to be lost, and another one to ask", lambda: watches.found, seconds=30)
        assert consuming.loop.alive
        assert len(watches.watched) == 2
        consuming.publisher.publish(Outgoing(topic="lost-2", key="k", value=b"v", headers=()))
        poll_until("the message", lambda: seen == [b"v"], seconds=30)
    finally:
        consuming.stop()
