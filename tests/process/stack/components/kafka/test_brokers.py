"""Real brokers: three lose no acknowledged message when one is killed, and a cluster of one becomes one of three."""

import re
from collections.abc import Iterable

import pytest
from confluent_kafka import KafkaError, Message, Producer

from checks.harness.kafka import KafkaBrokers
from service.common.kafka.topics import create_missing_topics
from stack.components.kafka.settings import Kafka
from tests.support.topics import read_topic

ONE, TWO, THREE = (Kafka.model_validate({"brokers": number}) for number in (1, 2, 3))
TOPIC = "task-status"


def send(brokers: KafkaBrokers, numbers: Iterable[int]) -> list[bytes]:
    """Sends a message for each number as the services do, and returns the acknowledged ones."""
    acknowledged: list[bytes] = []
    producer = Producer(
        {"bootstrap.servers": brokers.bootstrap_servers, "enable.idempotence": True, "message.timeout.ms": 60_000}
    )

    def on_delivery(error: KafkaError | None, message: Message) -> None:
        if error is None:
            acknowledged.append(message.value() or b"")

    for number in numbers:
        producer.produce(TOPIC, str(number).encode(), on_delivery=on_delivery)
    producer.flush(90)
    return acknowledged


def stored(brokers: KafkaBrokers, count: int) -> list[bytes]:
    """The values of the topic's messages."""
    messages = read_topic(brokers.bootstrap_servers, TOPIC, lambda messages: len(messages) >= count, seconds=60)
    return [message.value() or b"" for message in messages]


def replicas(brokers: KafkaBrokers) -> dict[str, set[tuple[int, int]]]:
    """By topic, the numbers of replicas and of replicas in sync of its partitions."""
    output = brokers.run(
        "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", brokers.bootstrap_servers, "--describe"
    )
    counts: dict[str, set[tuple[int, int]]] = {}
    for topic, all_replicas, in_sync in re.findall(r"Topic: (\S+)\tPartition: .*Replicas: (\S+)\tIsr: (\S+)", output):
        counts.setdefault(topic, set()).add((len(all_replicas.split(",")), len(in_sync.split(","))))
    return counts


def cluster_default(brokers: KafkaBrokers) -> str:
    """The default of all brokers for `min.insync.replicas`."""
    output = brokers.run(
        "kafka.admin.ConfigCommand",
        *("--bootstrap-server", brokers.bootstrap_servers, "--describe", "--entity-type", "brokers"),
        "--entity-default",
    )
    match = re.search(r"min\.insync\.replicas=(\d+) ", output)
    return match[1] if match else ""


def test_a_killed_broker_loses_no_acknowledged_message_and_is_ready_when_it_has_caught_up(
    brokers: KafkaBrokers,
) -> None:
    brokers.configure(THREE)
    brokers.start(0, 1, 2)
    brokers.wait(0, 1, 2)
    create_missing_topics({"bootstrap.servers": brokers.bootstrap_servers}, [TOPIC], 3)
    acknowledged = send(brokers, range(100))
    # Reading creates the topic of the consumers' offsets, which must have as many replicas.
    assert sorted(stored(brokers, 100)) == sorted(acknowledged)
    assert replicas(brokers) == {TOPIC: {(3, 3)}, "__consumer_offsets": {(3, 3)}}
    assert cluster_default(brokers) == "2"

    brokers.kill(1)
    acknowledged += send(brokers, range(100, 200))
    assert len(acknowledged) == 200, "two of three replicas are enough"
    assert sorted(stored(brokers, 200)) == sorted(acknowledged)
    assert not brokers.is_in_sync(0), "a rolling update stops no other broker while one is unavailable"

    brokers.start(1)
    brokers.wait(1)
    assert replicas(brokers)[TOPIC] == {(3, 3)}
    brokers.kill(0)
    assert sorted(stored(brokers, 200)) == sorted(acknowledged), "the broker that was stopped has caught up"


@pytest.mark.nightly  # nine starts of brokers
def test_a_cluster_of_one_broker_becomes_one_of_three_without_losing_a_message(brokers: KafkaBrokers) -> None:
    brokers.configure(ONE)
    brokers.start(0)
    brokers.wait(0)
    create_missing_topics({"bootstrap.servers": brokers.bootstrap_servers}, [TOPIC], 3)
    acknowledged = send(brokers, range(100))
    stored(brokers, 100)
    assert {counts for topic in replicas(brokers).values() for counts in topic} == {(1, 1)}

    for settings in (TWO, THREE):
        new = settings.brokers - 1
        brokers.configure(settings)
        brokers.start(new)
        # As a rolling update: the pod with the highest ordinal first, and each one when the one before is ready.
        for ordinal in range(new, -1, -1):
            if ordinal != new:
                brokers.stop(ordinal)
                brokers.start(ordinal)
            brokers.wait(ordinal)
    assert sorted(stored(brokers, 100)) == sorted(acknowledged)

    brokers.replicate()
    assert replicas(brokers) == {TOPIC: {(3, 3)}, "__consumer_offsets": {(3, 3)}}
    assert cluster_default(brokers) == "2"
    brokers.replicate()  # a second time it changes nothing

    brokers.kill(0)
    acknowledged += send(brokers, range(100, 200))
    assert sorted(stored(brokers, 200)) == sorted(acknowledged), "the first broker had the only copy before"
