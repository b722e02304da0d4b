"""Real brokers switch from connections in clear to TLS and back in rolling updates, while clients send."""

from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from checks.harness.kafka import KafkaBrokers
from contracts.services import GATEWAY, TASK_MANAGER
from contracts.topics import CONSUMER_GROUPS, STATUS_TOPIC
from stack.components.encryption.authority import Authority
from stack.components.encryption.settings import STEPS, EncryptionValue
from stack.components.kafka.settings import Kafka
from stack.kafka_users.administration import Administration
from stack.kafka_users.certificates import CLIENT, LISTENERS, renew
from stack.polling import poll_until
from tests.support.encrypted_kafka import DECLARED, EncryptedKafka
from tests.support.message_producer import MessageProducer
from tests.support.topics import read_topic

THREE = Kafka.model_validate({"brokers": 3})
ONE = Kafka.model_validate({"brokers": 1})


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


def await_renewed(kafka: EncryptedKafka, tmp_path: Path) -> None:
    """Returns when each listener shows the certificate of its file: brokers then keep the path in their metadata."""
    shown = kafka.renew(periods=0).certificate
    for_clients = kafka.renew_for_clients(periods=0).certificate if kafka.issuer else None
    files = tmp_path / "shown.crt", tmp_path / "clients.crt", tmp_path / "clients-ca.crt"
    files[0].write_text(shown)
    others = [name for name in LISTENERS if name != CLIENT] if kafka.issuer else [*LISTENERS]

    def is_shown() -> bool:
        admin, security = kafka.admin(), kafka.security
        own = Path(security.authority)
        try:
            problems = renew(
                admin, certificate=files[0], authority=own, keystore=security.key_and_certificate, listeners=others
            )
            if kafka.issuer and security.for_clients and for_clients:
                files[1].write_text(for_clients)
                files[2].write_text(kafka.issuer.certificate)
                problems += renew(
                    admin, certificate=files[1], authority=files[2], keystore=security.for_clients, listeners=[CLIENT]
                )
        except KafkaException:  # a busy machine; `kafka-users` tries again, too
            return False
        return not problems

    poll_until("the renewed certificates", is_shown, seconds=180)


@pytest.mark.nightly
def test_the_way_back_loses_nothing_that_was_acknowledged(brokers: KafkaBrokers, tmp_path: Path) -> None:
    kafka = EncryptedKafka(brokers, tmp_path)
    kafka.renew(periods=-1)
    brokers.configure(THREE, security=kafka.security)
    brokers.start(0, 1, 2)
    brokers.wait(0, 1, 2)
    Administration().apply(kafka.admin(), DECLARED)
    kafka.create_topics(STATUS_TOPIC)
    await_renewed(kafka, tmp_path)
    former = MessageProducer(STATUS_TOPIC, kafka.client(GATEWAY), "encrypted")
    former.start()
    former.await_further(10)
    update(kafka, "preferred")
    brokers.configure(THREE)  # for the addresses of the clients
    plain = {"bootstrap.servers": brokers.bootstrap_servers}
    sender = MessageProducer(STATUS_TOPIC, plain, "plain")
    sender.start()
    # The pods of the services are replaced at any time of this update.
    update(kafka, "accepted")
    for each in (former, sender):
        each.await_further(10)
    former.stop()

    update(kafka, False)
    sender.await_further(10)
    sender.stop()
    assert not former.errors
    assert not sender.errors
    expected = {*former.acknowledged, *sender.acknowledged}
    read_topic(
        plain,
        STATUS_TOPIC,
        lambda messages: expected <= {message.value() for message in messages},
        seconds=60,
        group=CONSUMER_GROUPS[STATUS_TOPIC],
    )


@pytest.mark.nightly
def test_a_broker_starts_without_the_certificate_of_an_issuer_that_was_removed(
    brokers: KafkaBrokers, tmp_path: Path
) -> None:
    """It has read a renewed one, so its metadata still names the file."""
    kafka = EncryptedKafka(brokers, tmp_path, issuer=Authority("the issuer, which is removed"))
    kafka.renew(periods=-1)
    kafka.renew_for_clients(periods=-1)
    brokers.configure(ONE, security=replace(kafka.security, step=STEPS["accepted"]))
    brokers.start(0)
    brokers.wait(0)
    create_topic(brokers)
    Administration().apply(kafka.admin(), DECLARED)
    await_renewed(kafka, tmp_path)
    assert kafka.security.for_clients
    Path(kafka.security.for_clients).unlink()
    kafka.issuer = None
    for step in ("accepted", "preferred"):
        brokers.configure(ONE, security=replace(kafka.security, step=STEPS[step]))
        brokers.stop(0)
        brokers.start(0)
        brokers.wait(0)
    await_renewed(kafka, tmp_path)
    with MessageProducer(STATUS_TOPIC, kafka.client(GATEWAY)) as sender:
        sender.await_further(10)
    assert not sender.errors
    brokers.configure(ONE)
    brokers.stop(0)
    brokers.start(0)
    brokers.wait(0)
    with MessageProducer(STATUS_TOPIC, {"bootstrap.servers": brokers.bootstrap_servers}) as sender:
        sender.await_further(10)
    assert not sender.errors
