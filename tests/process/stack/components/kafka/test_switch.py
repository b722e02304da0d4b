"""Three real brokers switch from connections in clear to TLS in rolling updates, while clients send."""

from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from checks.harness.kafka import KafkaBrokers
from contracts.services import GATEWAY, TASK_MANAGER
from contracts.topics import CONSUMER_GROUPS, STATUS_TOPIC
from stack.components.encryption.settings import STEPS, EncryptionValue
from stack.components.kafka.settings import Kafka
from stack.kafka_users.administration import Administration
from tests.support.encrypted_kafka import DECLARED, EncryptedKafka
from tests.support.message_producer import MessageProducer
from tests.support.topics import read_topic

THREE = Kafka.model_validate({"brokers": 3})


def update(kafka: EncryptedKafka, step: EncryptionValue) -> None:
    """Restarts each broker with the configuration of a step when the one before is in sync, as a rolling update."""
    security = replace(kafka.security, step=STEPS[step]) if step else None
    kafka.brokers.configure(THREE, security=security)
    for ordinal in (2, 1, 0):
        kafka.brokers.stop(ordinal)
        kafka.brokers.start(ordinal)
        kafka.brokers.wait(ordinal)


def create_topic(brokers: KafkaBrokers) -> None:
    """Creates the topic over a connection in clear."""
    brokers.run(
        "org.apache.kafka.tools.TopicCommand",
        *("--bootstrap-server", brokers.bootstrap_servers, "--create", "--topic", STATUS_TOPIC, "--partitions", "3"),
    )


@pytest.mark.nightly
def test_three_deployments_lose_nothing_that_was_acknowledged(brokers: KafkaBrokers, tmp_path: Path) -> None:
    kafka = EncryptedKafka(brokers, tmp_path)
    kafka.renew(periods=-1)
    brokers.configure(THREE)
    brokers.start(0, 1, 2)
    brokers.wait(0, 1, 2)
    plain = {"bootstrap.servers": brokers.bootstrap_servers}
    create_topic(brokers)
    former = MessageProducer(STATUS_TOPIC, plain, "plain")
    former.start()
    update(kafka, "accepted")
    former.await_further(10)
    Administration().apply(kafka.admin(), DECLARED)

    brokers.configure(THREE, security=kafka.security)  # for the addresses of the clients
    sender = MessageProducer(STATUS_TOPIC, kafka.client(GATEWAY), "encrypted")
    sender.start()
    # The pods of the services are replaced at any time of this update.
    update(kafka, "preferred")
    for each in (former, sender):
        each.await_further(10)
    former.stop()

    update(kafka, True)
    sender.await_further(10)
    sender.stop()
    with pytest.raises(KafkaException):
        AdminClient({**plain, "log_level": 0}).list_topics(timeout=5)
    assert not former.errors
    assert not sender.errors
    expected = {*former.acknowledged, *sender.acknowledged}
    read_topic(
        kafka.client(TASK_MANAGER),
        STATUS_TOPIC,
        lambda messages: expected <= {message.value() for message in messages},
        seconds=60,
        group=CONSUMER_GROUPS[STATUS_TOPIC],
    )


@pytest.mark.nightly
def test_brokers_get_a_new_authority_while_they_connect_in_clear(brokers: KafkaBrokers, tmp_path: Path) -> None:
    kafka = EncryptedKafka(brokers, tmp_path)
    kafka.renew(periods=-1)
    brokers.configure(THREE, security=replace(kafka.security, step=STEPS["accepted"]))
    brokers.start(0, 1, 2)
    brokers.wait(0, 1, 2)
    create_topic(brokers)
    with MessageProducer(STATUS_TOPIC, {"bootstrap.servers": brokers.bootstrap_servers}) as sender:
        kafka.seed = "another random text of the tests"
        kafka.renew(periods=-1)
        update(kafka, "accepted")
        sender.await_further(10)
    assert not sender.errors
    Administration().apply(kafka.admin(), DECLARED)
