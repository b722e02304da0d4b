"""The stack's own Kafka with TLS: who gets in, and what each user reaches."""

import socket
import ssl
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from cryptography import x509

from checks.harness.certificates import self_signed
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from collector import pipeline
from contracts import endpoints, http, secret_keys
from contracts.services import CRAWLER, GATEWAY, TASK_MANAGER
from contracts.topics import CONSUMER_GROUPS, CRAWL_TOPIC, STATUS_TOPIC, dead_letter_topic
from service.common.errors import Unavailable
from service.common.kafka.handled import HandledMessages
from service.common.kafka.topics import create_missing_topics
from stack.components.encryption.authority import Authority
from stack.components.kafka.rights import INGEST_TOPIC
from stack.kafka_users.administration import Administration
from stack.kafka_users.certificates import renew
from stack.kafka_users.declared import Right
from stack.polling import poll_until
from stack.settings import ROOT
from tests.support.encrypted_kafka import DECLARED, PASSWORDS, SEED, EncryptedKafka, encrypted_kafka
from tests.support.outputs import value
from tests.support.program import dev_with
from tests.support.spans_through_kafka import send_a_span

TOPICS = (
    STATUS_TOPIC,
    CRAWL_TOPIC,
    dead_letter_topic(STATUS_TOPIC),
    dead_letter_topic(CRAWL_TOPIC),
    pipeline.TOPIC,
    INGEST_TOPIC,
)
GROUPS = {TASK_MANAGER: CONSUMER_GROUPS[STATUS_TOPIC], CRAWLER: CONSUMER_GROUPS[CRAWL_TOPIC], "sampler": "sampler"}
WRITERS = {
    GATEWAY: {STATUS_TOPIC},
    TASK_MANAGER: {STATUS_TOPIC, CRAWL_TOPIC, dead_letter_topic(STATUS_TOPIC), dead_letter_topic(CRAWL_TOPIC)},
    CRAWLER: {STATUS_TOPIC, CRAWL_TOPIC, dead_letter_topic(CRAWL_TOPIC)},
    endpoints.COLLECTOR: {pipeline.TOPIC},
    endpoints.SAMPLER: set[str](),
}
READERS = {
    GATEWAY: set[str](),
    TASK_MANAGER: {STATUS_TOPIC},
    CRAWLER: {CRAWL_TOPIC},
    endpoints.COLLECTOR: set[str](),
    endpoints.SAMPLER: {pipeline.TOPIC},
}
REFUSED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)


@pytest.fixture(scope="module")
def kafka(class_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EncryptedKafka]:
    with encrypted_kafka(tmp_path_factory.mktemp("kafka"), class_path) as started:
        started.create_topics(*TOPICS)
        yield started


def write(configuration: dict[str, Any], topic: str) -> KafkaError | None:
    """Returns why the message was not written; None if it was."""
    errors: list[KafkaError | None] = []
    producer = Producer(configuration | {"enable.idempotence": True, "message.timeout.ms": 15_000})
    try:
        producer.produce(topic, b"message", on_delivery=lambda error, _: errors.append(error))
        producer.flush(20)
    except KafkaException as raised:
        return raised.args[0]  # type: ignore[no-any-return]
    (error,) = errors
    return error


def read(configuration: dict[str, Any], topic: str, group: str) -> KafkaError | None:
    """Returns why no message was read; None if one was."""
    consumer = Consumer(configuration | {"group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    end = time.monotonic() + 20
    try:
        while time.monotonic() < end:
            message = consumer.poll(1.0)
            if message is None:
                continue
            error = message.error()
            if error is None or error.code() in REFUSED:
                return error
    finally:
        consumer.close()
    raise AssertionError(f"neither a message of {topic} nor a refusal")


@pytest.mark.parametrize("user", list(PASSWORDS))
def test_each_user_writes_to_its_topics_alone(kafka: EncryptedKafka, user: str) -> None:
    results = {topic: write(kafka.client(user), topic) for topic in TOPICS}
    assert {topic for topic, error in results.items() if error is None} == WRITERS[user]
    refusals = {error.code() for error in results.values() if error}
    # A user without any topic to write to gets no producer id.
    assert refusals <= {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}


@pytest.mark.parametrize("user", list(PASSWORDS))
def test_each_user_reads_its_topics_alone(kafka: EncryptedKafka, user: str) -> None:
    for topic in TOPICS:  # what is read must exist
        kafka_error = next((write(kafka.client(name), topic) for name in PASSWORDS if topic in WRITERS[name]), None)
        assert kafka_error is None
    group = GROUPS.get(user, "mine")
    allowed = {topic for topic in TOPICS if read(kafka.client(user), topic, group) is None}
    assert allowed == READERS[user]


@pytest.mark.parametrize("user", list(GROUPS))
def test_no_user_joins_the_group_of_another(kafka: EncryptedKafka, user: str) -> None:
    for group in {*GROUPS.values(), "mine"} - {GROUPS[user]}:
        error = read(kafka.client(user), next(iter(READERS[user])), group)
        assert error is not None
        assert error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED


def test_spans_go_through_it_from_the_collectors_to_the_samplers(kafka: EncryptedKafka, tmp_path: Path) -> None:
    collector, sampler = (
        (value(kafka.access.collector_target(user)), PASSWORDS[user])
        for user in (endpoints.COLLECTOR, endpoints.SAMPLER)
    )
    send_a_span(tmp_path, collector, sampler)


def test_services_create_their_topics_and_no_other(kafka: EncryptedKafka) -> None:
    own = {
        GATEWAY: [STATUS_TOPIC],
        TASK_MANAGER: [STATUS_TOPIC, CRAWL_TOPIC, dead_letter_topic(STATUS_TOPIC)],
        CRAWLER: [CRAWL_TOPIC, STATUS_TOPIC, dead_letter_topic(CRAWL_TOPIC)],
    }
    for user, topics in own.items():
        for topic in topics:
            create_missing_topics(kafka.client(user), [topic], 1)
        admin = AdminClient(kafka.client(user))
        with pytest.raises(KafkaException) as caught:
            admin.create_topics([NewTopic("mine", 1, 1)], request_timeout=10.0)["mine"].result()
        assert caught.value.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_only_the_task_manager_deletes_handled_messages(kafka: EncryptedKafka) -> None:
    for writer, reader, topic in ((GATEWAY, TASK_MANAGER, STATUS_TOPIC), (TASK_MANAGER, CRAWLER, CRAWL_TOPIC)):
        assert write(kafka.client(writer), topic) is None
        assert read(kafka.client(reader), topic, CONSUMER_GROUPS[topic]) is None
    handled = HandledMessages(kafka.client(TASK_MANAGER))
    assert handled.delete(STATUS_TOPIC, CONSUMER_GROUPS[STATUS_TOPIC]) == 1
    assert handled.delete(CRAWL_TOPIC, CONSUMER_GROUPS[CRAWL_TOPIC]) == 1
    assert handled.retention_hours(dead_letter_topic(CRAWL_TOPIC))
    with pytest.raises(Unavailable):
        HandledMessages(kafka.client(CRAWLER)).delete(CRAWL_TOPIC, CONSUMER_GROUPS[CRAWL_TOPIC])
    with pytest.raises(Unavailable):
        HandledMessages(kafka.client(GATEWAY)).retention_hours(STATUS_TOPIC)


@pytest.mark.parametrize(
    "changes",
    [
        {"sasl.password": "wrong"},
        {"sasl.username": "stranger"},
        {"sasl.username": "kafka"},
        {"security.protocol": "PLAINTEXT"},
        {"security.protocol": "SASL_PLAINTEXT"},
        {"security.protocol": "SSL"},
        {"ssl.ca.pem": self_signed("localhost")[1].decode()},
    ],
    ids=lambda changes: " ".join(f"{key}={value[:15].strip()}" for key, value in changes.items()),
)
def test_without_tls_or_the_password_no_one_gets_in(kafka: EncryptedKafka, changes: dict[str, str]) -> None:
    with pytest.raises(KafkaException):
        AdminClient(kafka.client(GATEWAY, **changes)).list_topics(timeout=5)


# Length, kind 18, version 0, a number of the request, no name of the client.
API_VERSIONS = b"\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff"


def refusal(context: ssl.SSLContext | None, host: str, port: int) -> Exception:
    """Returns the error with which a broker ends a connection; fails if the broker answers."""
    try:
        with socket.create_connection((host, port), timeout=10) as plain:
            connection = context.wrap_socket(plain, server_hostname=host) if context else plain
            connection.settimeout(10)
            connection.sendall(API_VERSIONS)
            # With TLS 1.3, a server refuses a client after the handshake.
            answer = connection.recv(1)
    except (ssl.SSLError, ConnectionError) as error:
        return error
    assert answer in (b"", b"\x15")  # the end, or an alert of TLS
    return ConnectionResetError("closed")


@pytest.mark.parametrize(
    "port", [endpoints.KAFKA_BROKER_TLS_PORT, endpoints.KAFKA_PROXIED_PORT, endpoints.KAFKA_CONTROLLER_TLS_PORT]
)
def test_brokers_talk_to_brokers_alone(kafka: EncryptedKafka, port: int, tmp_path: Path) -> None:
    """Neither no certificate is one of a broker's, nor one of the same authority for a server."""
    host = kafka.brokers.addresses[0]
    without, server = (ssl.create_default_context(cafile=kafka.security.authority) for _ in range(2))
    issued = Authority(SEED).issue("kafka", [host], datetime.now(UTC))  # the name alone does not make a client
    (tmp_path / "server.pem").write_text(issued.combined)
    server.load_cert_chain(tmp_path / "server.pem")
    refusals = [refusal(context, host, port) for context in (None, without, server)]
    assert isinstance(refusals[1], ssl.SSLError)
    assert isinstance(refusals[2], ssl.SSLError)


def test_a_certificate_of_another_client_has_no_rights(kafka: EncryptedKafka) -> None:
    with pytest.raises(KafkaException) as caught:
        Administration().apply(kafka.admin("another"), DECLARED)
    assert caught.value.args[0].code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED


def serial_number(kafka: EncryptedKafka, port: int) -> int:
    """Returns that of the certificate which a new client gets."""
    host = kafka.brokers.addresses[0]
    context = ssl.create_default_context(cafile=kafka.security.authority)
    with (
        socket.create_connection((host, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as encrypted,
    ):
        certificate = encrypted.getpeercert()
        assert certificate
        return int(str(certificate["serialNumber"]), 16)


LISTENERS = endpoints.KAFKA_TLS_PORTS
NETWORK_THREADS = 3  # of each listener, Kafka's default; they take new connections in turn


def test_brokers_use_a_renewed_certificate_without_a_restart(kafka: EncryptedKafka, tmp_path: Path) -> None:
    """A producer that is connected meanwhile loses nothing, and new clients verify the new certificate."""
    expected = tmp_path / "tls.crt"
    admin = kafka.admin()

    def outdated() -> list[str]:
        authority, keystore = kafka.security.authority, kafka.security.key_and_certificate
        return renew(admin, certificate=expected, authority=Path(authority), keystore=keystore)

    errors: list[KafkaError | None] = []
    producer = Producer(kafka.client(GATEWAY) | {"enable.idempotence": True})
    for periods in (-2, -1):
        # The secret reaches this pod before the broker's: the broker still reads the file that it had.
        file = Path(kafka.security.key_and_certificate)
        previous = file.read_text()
        issued = kafka.renew(periods=periods)
        after = file.read_text()
        expected.write_text(issued.certificate)
        file.write_text(previous)
        assert len(outdated()) == len(LISTENERS)
        file.write_text(after)

        def is_new() -> bool:
            producer.produce(STATUS_TOPIC, b"message", on_delivery=lambda error, _: errors.append(error))
            producer.poll(0)
            return not outdated()

        poll_until("the new certificate", is_new, seconds=60)
        number = x509.load_pem_x509_certificate(issued.certificate.encode()).serial_number

        # Each network thread of a broker reads the file for itself, one after the other.
        def is_shown_by_each_thread(number: int = number) -> bool:
            return {serial_number(kafka, port) for port in LISTENERS * 2 * NETWORK_THREADS} == {number}

        poll_until("the new certificate from each network thread", is_shown_by_each_thread, seconds=30)
        assert write(kafka.client(GATEWAY), STATUS_TOPIC) is None
    producer.flush(30)
    assert errors
    assert set(errors) == {None}


def test_what_is_as_declared_is_not_written_again(kafka: EncryptedKafka) -> None:
    administration = Administration()
    # Kafka does not tell passwords, so each process writes them once.
    assert administration.apply(kafka.admin(), DECLARED) == [f"user {user}" for user in sorted(PASSWORDS)]
    assert administration.apply(kafka.admin(), DECLARED) == []


def test_a_new_password_takes_the_place_of_the_old_one(kafka: EncryptedKafka) -> None:
    Administration().apply(kafka.admin(), replace(DECLARED, passwords=PASSWORDS | {GATEWAY: "another-one"}))
    assert write(kafka.client(GATEWAY, "another-one"), STATUS_TOPIC) is None
    with pytest.raises(KafkaException):
        AdminClient(kafka.client(GATEWAY)).list_topics(timeout=5)
    Administration().apply(kafka.admin(), DECLARED)
    assert write(kafka.client(GATEWAY), STATUS_TOPIC) is None


def test_users_and_rights_that_are_no_longer_declared_are_deleted(kafka: EncryptedKafka) -> None:
    right = Right(user="former", kind="topic", name=STATUS_TOPIC, operation="WRITE")
    extended = replace(DECLARED, passwords=PASSWORDS | {"former": "password"}, rights=DECLARED.rights | {right})
    changes = Administration().apply(kafka.admin(), extended)
    assert f"right User:former WRITE TOPIC {STATUS_TOPIC}" in changes
    former = {"sasl.username": "former", "sasl.password": "password"}
    assert write(kafka.client(GATEWAY, **former), STATUS_TOPIC) is None
    changes = Administration().apply(kafka.admin(), DECLARED)
    assert {"no user former", f"no right User:former WRITE TOPIC {STATUS_TOPIC}"} <= {*changes}
    with pytest.raises(KafkaException):
        AdminClient(kafka.client(GATEWAY, **former)).list_topics(timeout=5)


def test_the_program_of_the_pod_writes_users_and_renews_certificates(kafka: EncryptedKafka, tmp_path: Path) -> None:
    """With the files and variables of the pod, as far as they do not depend on the machine."""
    objects = dev_with(encryption={"kafka": True})
    (container,) = objects["Deployment", endpoints.KAFKA_USERS]["spec"]["template"]["spec"]["containers"]
    keys = {key: user for user, key in secret_keys.KAFKA_USER_PASSWORD.items()}
    passwords = {
        item["name"]: f"new-{PASSWORDS[keys[item['valueFrom']['secretKeyRef']['key']]]}"
        for item in container["env"]
        if "valueFrom" in item
    }
    own = kafka.authority.issue(endpoints.KAFKA_USERS, [], datetime.now(UTC), is_client=True)
    issued = kafka.renew(periods=-2)
    files = {
        "DECLARED_FILE": objects["ConfigMap", "kafka-users-config"]["data"]["declared.json"],
        "KAFKA_AUTHORITY": kafka.authority.certificate,
        "KAFKA_CERTIFICATE": own.certificate,
        "KAFKA_KEY": own.key,
        "BROKER_CERTIFICATE": issued.certificate,
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    port = free_port()
    environment = {
        "PORT": str(port),
        "KAFKA_BOOTSTRAP_SERVERS": kafka.brokers.tls_address(0),
        "BROKER_KEYSTORE": kafka.security.key_and_certificate,
        **{name: str(tmp_path / name) for name in files},
        **passwords,
    }
    assert {*environment} == {item["name"] for item in container["env"]}
    program = ServerProcess(
        endpoints.KAFKA_USERS,
        [sys.executable, *container["command"][1:]],
        tmp_path,
        is_ready=lambda: answers(f"http://127.0.0.1:{port}{http.READY}"),
        environment=environment | {"PYTHONPATH": str(ROOT)},
    )
    number = x509.load_pem_x509_certificate(issued.certificate.encode()).serial_number
    try:
        program.start()
        assert write(kafka.client(GATEWAY, f"new-{PASSWORDS[GATEWAY]}"), STATUS_TOPIC) is None
        poll_until(
            "the new certificate", lambda: {serial_number(kafka, each) for each in LISTENERS} == {number}, seconds=60
        )
    finally:
        program.stop(10)
        Administration().apply(kafka.admin(), DECLARED)
