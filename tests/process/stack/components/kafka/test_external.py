"""Every client of the stack works with a real Kafka that has TLS and SASL, and with no other credentials."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from checks.harness.certificates import self_signed
from collector import pipeline
from contracts import endpoints
from contracts.services import GATEWAY
from service.common.config import ServiceSettings
from service.common.errors import Unavailable
from service.common.kafka.client import client_configuration
from service.common.kafka.topics import create_missing_topics
from stack.components.kafka.settings import ExternalKafka, Kafka
from stack.components.kafka.topic import CLASS_PATH, Topic, topic_container
from tests.support.outputs import value
from tests.support.secure_kafka import PASSWORD, SecureKafka, access, environment, secure_kafka
from tests.support.spans_through_kafka import send_a_span


@pytest.fixture(scope="module")
def kafka(class_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    with secure_kafka(tmp_path_factory.mktemp("brokers"), class_path) as started:
        yield started


def service(external: ExternalKafka, password: str = PASSWORD) -> dict[str, Any]:
    """The configuration of a service's clients."""
    settings = ServiceSettings.from_env(environment(access(external).service_variables(GATEWAY, "s"), password))
    return client_configuration(settings, "test") | {"log_level": 0}


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_the_services_create_topics_and_send(kafka: SecureKafka, mechanism: str) -> None:
    configuration = service(kafka.external.model_copy(update={"mechanism": mechanism}))
    topic = f"tasks-{mechanism}"
    create_missing_topics(configuration, [topic], 3)
    errors: list[object] = []
    producer = Producer(configuration | {"enable.idempotence": True})
    producer.produce(topic, b"task", on_delivery=lambda error, _: errors.append(error))
    producer.flush(30)
    assert errors == [None]
    assert len(AdminClient(configuration).list_topics(topic, timeout=10).topics[topic].partitions) == 3


def test_the_services_refuse_another_broker_and_are_refused_without_the_password(kafka: SecureKafka) -> None:
    other = self_signed("localhost")[1].decode()
    for configuration in (
        service(kafka.external, password="wrong"),
        service(kafka.external.model_copy(update={"ca": other})),
        service(ExternalKafka(bootstrap_servers=kafka.external.bootstrap_servers, encrypted=False)),
    ):
        with pytest.raises(Unavailable):
            create_missing_topics(configuration, ["refused"], 1)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_the_init_container_creates_the_topic_of_spans(
    kafka: SecureKafka, mechanism: str, class_path: str, tmp_path: Path
) -> None:
    topic = Topic.with_part_of_disk(f"spans-{mechanism}", Kafka(), 2, max_message_bytes=10_000_000)
    external = kafka.external.model_copy(update={"mechanism": mechanism})
    container: Any = topic_container(topic, access(external), endpoints.SAMPLER, "secret")

    def run(password: str) -> subprocess.CompletedProcess[str]:
        command = [
            part.replace(CLASS_PATH, class_path).replace("/tmp/client.", f"{tmp_path}/client.")
            for part in (*container.command, *container.args)
        ]
        variables = os.environ | environment(container.env, password)
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)

    assert "Authentication failed" in run("wrong").stdout
    result = run(PASSWORD)
    assert result.returncode == 0, result.stdout + result.stderr
    assert PASSWORD not in (tmp_path / "client.properties").read_text()
    topics = AdminClient(service(external)).list_topics(timeout=10).topics
    assert len(topics[topic.name].partitions) == 3


def test_spans_go_through_it_from_the_collectors_to_the_samplers(kafka: SecureKafka, tmp_path: Path) -> None:
    through = value(access(kafka.external).collector_target(endpoints.COLLECTOR))
    create_missing_topics(service(kafka.external), [pipeline.TOPIC], 3)
    send_a_span(tmp_path, (through, PASSWORD), (through, PASSWORD))
