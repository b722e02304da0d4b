"""Clients that have lost their brokers are distinguished from unavailable brokers, and replaced."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer

from contracts.service_metrics import OFFLINE_PARTITIONS
from lean_tracing.testing import Recorder
from service.common.config import ServiceSettings
from service.common.kafka.client import BrokersLost, ConnectionMonitor, Replication, client_configuration
from service.common.kafka.consumer import ConsumerTiming
from service.common.kafka.publisher import KafkaPublisher
from service.common.kafka.received import Received
from service.common.messages import Outgoing
from service.common.metrics import Metrics
from stack.polling import poll_until
from tests.support.consumer import RunningConsumer
from tests.support.shutting_down_broker import ShuttingDownBroker, shutting_down_broker

_MOST_SHUTDOWNS = 100
"""About four are enough."""


@pytest.fixture
def broker() -> Iterator[ShuttingDownBroker]:
    with shutting_down_broker() as broker:
        yield broker


def _configured(address: str) -> dict[str, Any]:
    return client_configuration(ServiceSettings(kafka_bootstrap_servers=address), "test") | {"log_level": 0}


def _lose(client: Producer, broker: ShuttingDownBroker) -> bool:
    """Shuts the broker down and starts it again until the client no longer reaches it."""
    stop = threading.Event()

    def reaches_broker() -> bool:
        try:
            client.list_topics(timeout=0.5)
        except KafkaException:
            return False
        return True

    def keep_requesting() -> None:
        while not stop.is_set():
            reaches_broker()

    threads = [threading.Thread(target=keep_requesting) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for number in range(_MOST_SHUTDOWNS):
            broker.is_shutting_down = True
            stop.wait(0.02 + 0.01 * (number % 7))
            broker.is_shutting_down = False
            if not any(reaches_broker() for _ in range(5)):
                return True
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return False


def test_a_client_that_lost_its_brokers_is_distinguished_from_a_slow_one(broker: ShuttingDownBroker) -> None:
    configured = _configured(broker.address)
    client = Producer(configured)
    monitor = ConnectionMonitor(client, configured, check_seconds=0.5, patience_seconds=0.1)
    monitor.check()
    if not _lose(client, broker):
        pytest.skip("this version of the client keeps its brokers: `BrokersLost` can go once it is the oldest used")
    with pytest.raises(KafkaException):
        monitor.check()
    with pytest.raises(BrokersLost, match="Kafka answers other clients only"):
        monitor.check()
    patient = ConnectionMonitor(client, configured, check_seconds=0.5)
    for _ in range(2):
        with pytest.raises(KafkaException):
            patient.check()
    ConnectionMonitor(Producer(configured), configured).check()


def test_unavailable_brokers_are_no_reason_for_a_new_client() -> None:
    configured = _configured("127.0.0.1:1")
    monitor = ConnectionMonitor(Producer(configured), configured, check_seconds=0.5, patience_seconds=0.0)
    for _ in range(3):
        with pytest.raises(KafkaException):
            monitor.check()


class _FailingMonitors:
    """Makes monitors in place of `ConnectionMonitor`: the first one for a client of this type reports lost brokers."""

    def __init__(self, client_type: type, monkeypatch: pytest.MonkeyPatch) -> None:
        self._client_type = client_type
        self.monitored: list[Any] = []
        self.connected: list[Any] = []
        for module in ("publisher", "consumer"):
            monkeypatch.setattr(f"service.common.kafka.{module}.ConnectionMonitor", self._make)

    def _make(self, client: Any, _configuration: dict[str, Any]) -> "_FakeMonitor":
        if isinstance(client, self._client_type):
            self.monitored.append(client)
        return _FakeMonitor(self, client)


class _FakeMonitor:
    def __init__(self, monitors: _FailingMonitors, client: Any) -> None:
        self._monitors = monitors
        self._client = client

    def check(self) -> Replication:
        if self._client is self._monitors.monitored[0]:
            raise BrokersLost("Kafka answers other clients only")
        self._monitors.connected.append(self._client)
        return Replication(under_replicated=0, offline=0)


def test_a_publisher_that_lost_its_brokers_goes_on_with_a_new_client(
    kafka: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitors = _FailingMonitors(Producer, monkeypatch)
    metrics = Metrics()
    publisher = KafkaPublisher(
        ServiceSettings(kafka_bootstrap_servers=kafka), recorder.traces, metrics, client_id="p", topics=("lost-1",)
    )

    def offline() -> str:
        return str(metrics.registry.get_sample_value(OFFLINE_PARTITIONS))

    assert offline() == "nan"
    publisher.start()
    try:
        publisher.check()  # the topics
        message = Outgoing(topic="lost-1", key="k", value=b"v", headers=())
        publisher.publish(message)
        metrics.set_replication(3, 3)
        with pytest.raises(BrokersLost):
            publisher.check()
        assert offline() == "nan"
        publisher.publish(message)
        publisher.check()
        assert offline() == "0.0"
        assert monitors.connected == monitors.monitored[1:]
    finally:
        publisher.stop()


def test_a_consumer_that_lost_its_brokers_goes_on_with_a_new_client(
    kafka: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitors = _FailingMonitors(Consumer, monkeypatch)
    values: list[bytes | None] = []

    def handler(received: Received) -> str:
        values.append(received.value)
        return "done"

    # The mock broker gives the second consumer its partitions after nearly a session.
    timing = ConsumerTiming(silence_seconds=0.5, session_ms=3000)
    consuming = RunningConsumer(kafka, recorder, "lost-2", handler, timing=timing)
    try:
        poll_until("the second consumer", lambda: monitors.connected)
        assert consuming.loop.alive
        assert len(monitors.monitored) == 2
        consuming.publisher.publish(Outgoing(topic="lost-2", key="k", value=b"v", headers=()))
        poll_until("the message", lambda: values == [b"v"])
    finally:
        consuming.stop()
