"""A client without TLS reaches encrypted brokers through the proxy of its pod, with the rights of a certificate."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from confluent_kafka import KafkaError, Producer

from checks.chaos.requests import Requests
from contracts import endpoints
from contracts.topics import STATUS_TOPIC
from lean_tracing.otlp_exporter import TRACES
from stack.components.kafka.rights import INGEST_TOPIC
from stack.polling import poll_until
from tests.support.encrypted_kafka import EncryptedKafka, encrypted_kafka
from tests.support.message_producer import MessageProducer
from tests.support.programs import require_program
from tests.support.proxied_kafka import KafkaProxyProcess, kafka_proxy
from tests.support.tempo_parts import tempo_parts
from tests.support.topics import read_topic

BROKERS = 3


@pytest.fixture(scope="module")
def kafka(class_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EncryptedKafka]:
    with encrypted_kafka(tmp_path_factory.mktemp("kafka"), class_path, BROKERS) as started:
        started.create_topics(STATUS_TOPIC, INGEST_TOPIC)
        yield started


@pytest.fixture
def proxy(kafka: EncryptedKafka, tmp_path: Path) -> Iterator[KafkaProxyProcess]:
    with kafka_proxy(tmp_path / "proxy", kafka, BROKERS) as process:
        yield process


def tempo(proxy: KafkaProxyProcess) -> dict[str, object]:
    """The configuration of a producer like Tempo's, which is not idempotent."""
    return {"bootstrap.servers": proxy.address, "enable.idempotence": False, "acks": "all"}


def write(address: str, topic: str, seconds: float = 20) -> KafkaError | None:
    """Returns why a new client's message was not written; None if it was."""
    errors: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": address, "message.timeout.ms": int(seconds * 1000), "log_level": 0})
    producer.produce(topic, b"message", on_delivery=lambda error, _: errors.append(error))
    producer.flush(seconds + 10)
    (error,) = errors
    return error


def is_refused(error: KafkaError | None) -> bool:
    return error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def is_accepted(channel: grpc.Channel, request: bytes) -> bool:
    """Sends spans; returns False if Tempo asks to send them again later, as it does while no live store has joined."""
    try:
        channel.unary_unary(TRACES)(request, timeout=30, wait_for_ready=True)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False
    return True


# The first test: the others write messages to the topic that are no spans.
def test_the_parts_of_tempo_pass_spans_on_through_it(
    kafka: EncryptedKafka, proxy: KafkaProxyProcess, tmp_path: Path
) -> None:
    request = Requests("encrypted").encode(0)
    with (
        tempo_parts(str(require_program("tempo")), proxy.address, tmp_path / "tempo") as tempo,
        grpc.insecure_channel(tempo.otlp) as channel,
    ):
        poll_until("Tempo to accept spans", lambda: is_accepted(channel, request), look_at=str(tmp_path))
        poll_until("the live store to have read them", lambda: tempo.spans_read() > 0, look_at=str(tmp_path))
        poll_until("a block of the block builder", tempo.blocks, seconds=120, look_at=str(tmp_path))


def test_the_client_writes_to_its_topic_alone(proxy: KafkaProxyProcess) -> None:
    assert write(proxy.address, INGEST_TOPIC) is None
    assert is_refused(write(proxy.address, STATUS_TOPIC))


def test_the_proxy_talks_to_brokers_of_the_expected_name_alone(kafka: EncryptedKafka, tmp_path: Path) -> None:
    with kafka_proxy(
        tmp_path / "proxy", kafka, BROKERS, names=[f"another-{number}" for number in range(BROKERS)]
    ) as proxy:
        error = write(proxy.address, INGEST_TOPIC, seconds=5)
        assert error is not None
        assert error.name() == "_MSG_TIMED_OUT"


def test_a_renewed_certificate_is_used_without_a_lost_message(kafka: EncryptedKafka, proxy: KafkaProxyProcess) -> None:
    """The certificate of a client without rights shows that the proxy has loaded the file again."""
    with MessageProducer(INGEST_TOPIC, tempo(proxy)) as sender:
        sender.await_further(1)
        proxy.show("another")
        poll_until("the other certificate", lambda: is_refused(write(proxy.address, INGEST_TOPIC)), seconds=60)
        proxy.show(endpoints.TEMPO_KAFKA, periods=-1)
        poll_until("the renewed certificate", lambda: write(proxy.address, INGEST_TOPIC) is None, seconds=60)
        sender.await_further(1)
    assert not sender.errors


def test_a_killed_and_a_restarted_broker_lose_no_acknowledged_message(
    kafka: EncryptedKafka, proxy: KafkaProxyProcess
) -> None:
    with MessageProducer(INGEST_TOPIC, tempo(proxy), "despite outages") as sender:
        for ordinal in range(2):
            kafka.brokers.kill(ordinal)
            sender.await_further(100)
            kafka.brokers.start(ordinal)
            kafka.brokers.wait(ordinal)
    assert not sender.errors
    expected = {*sender.acknowledged}
    read_topic(
        proxy.address,
        INGEST_TOPIC,
        lambda messages: expected <= {message.value() for message in messages},
        seconds=60,
        group="block-builder",
    )
