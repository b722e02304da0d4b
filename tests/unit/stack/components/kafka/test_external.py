"""A Kafka that the stack did not build: where its addresses and credentials go, and what is refused."""

from typing import Any

import pytest
import yaml

from contracts import secret_keys
from contracts.metadata import Manifest
from stack.settings import parse
from stack.settings.missing_secrets import needed_secrets
from tests.support.authority import CA
from tests.support.configuration import config, refusal
from tests.support.program import dev_with

EXTERNAL = {
    "bootstrapServers": "a.example.com:9093,b.example.com:9093",
    "ca": CA,
    "mechanism": "SCRAM-SHA-512",
    "username": "tracing",
}
SAMPLING = {"sampling": {"ratio": 0.1}}


def objects() -> dict[tuple[str, str], Manifest]:
    """The objects of stack dev with that Kafka, by kind and name; the policy accepts them."""
    return dev_with(kafka={"external": EXTERNAL}, collector=SAMPLING)


def variables(container: Any) -> dict[str, Any]:
    """The variables of a container: their value, or the key of their secret."""
    return {
        item["name"]: item["value"] if "value" in item else item["valueFrom"].get("secretKeyRef", {}).get("key")
        for item in container["env"]
    }


def test_the_stack_builds_no_kafka() -> None:
    assert not [name for _, name in objects() if name.startswith("kafka")]


@pytest.mark.parametrize("name", ["gateway", "task-manager", "web-crawler"])
def test_the_services_connect_to_it(name: str) -> None:
    (container,) = objects()["Deployment", name]["spec"]["template"]["spec"]["containers"]
    assert {key: value for key, value in variables(container).items() if key.startswith("KAFKA_")} == {
        "KAFKA_BOOTSTRAP_SERVERS": EXTERNAL["bootstrapServers"],
        "KAFKA_ENCRYPTED": "true",
        "KAFKA_CA": CA,
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_USERNAME": "tracing",
        "KAFKA_PASSWORD": secret_keys.KAFKA_PASSWORD,
        "KAFKA_PUBLISH_TIMEOUT_MS": "20000",
        "KAFKA_TOPIC_PARTITIONS": "3",
    }


@pytest.mark.parametrize(("name", "part"), [("collector", "exporters"), ("sampler", "receivers")])
def test_collectors_and_samplers_connect_to_it(name: str, part: str) -> None:
    all_objects = objects()
    document = yaml.safe_load(all_objects["ConfigMap", f"{name}-config"]["data"]["config.yaml"])
    kafka = document[part]["kafka/traces" if name == "collector" else "kafka"]
    assert kafka["brokers"] == ["a.example.com:9093", "b.example.com:9093"]
    assert kafka["tls"] == {"ca_pem": CA}
    assert kafka["auth"]["sasl"] == {
        "mechanism": "SCRAM-SHA-512",
        "username": "tracing",
        "password": "${env:KAFKA_PASSWORD}",
    }
    (container,) = all_objects["StatefulSet", name]["spec"]["template"]["spec"]["containers"]
    assert variables(container)["KAFKA_PASSWORD"] == secret_keys.KAFKA_PASSWORD


def test_the_init_container_of_the_topic_has_no_password_in_its_configuration() -> None:
    containers = objects()["StatefulSet", "sampler"]["spec"]["template"]["spec"]["initContainers"]
    (topic,) = [container for container in containers if container["name"] == "topic"]
    assert topic["command"][:2] == ["sh", "-c"]
    assert variables(topic)["KAFKA_PASSWORD"] == secret_keys.KAFKA_PASSWORD
    assert 'password="${env:KAFKA_PASSWORD}"' in variables(topic)["CLIENT_PROPERTIES"]


def test_the_missing_password_is_named() -> None:
    assert secret_keys.KAFKA_PASSWORD in needed_secrets(parse(config(kafka={"external": EXTERNAL}), "Pulumi.test.yaml"))
    without = {"bootstrapServers": "a.example.com:9093"}
    settings = parse(config(kafka={"external": without}), "Pulumi.test.yaml")
    assert secret_keys.KAFKA_PASSWORD not in needed_secrets(settings)


@pytest.mark.parametrize(
    ("external", "part"),
    [
        ({**EXTERNAL, "bootstrapServers": "https://a.example.com"}, "kafka.external.bootstrapServers"),
        ({**EXTERNAL, "mechanism": "GSSAPI"}, "kafka.external.mechanism"),
        ({**EXTERNAL, "encrypted": False, "ca": None}, "would show the password"),
        ({"bootstrapServers": "a:9092", "encrypted": False, "ca": CA}, "nothing is verified without TLS"),
        ({"bootstrapServers": "a:9092", "username": "tracing"}, "mechanism and username belong together"),
        ({**EXTERNAL, "ca": "/etc/ca.pem"}, "kafka.external.ca"),
    ],
)
def test_what_cannot_work_or_would_leak_is_refused(external: Any, part: str) -> None:
    assert part in refusal(kafka={"external": external})


def test_tempo_in_parts_knows_no_tls() -> None:
    distributed = {"objectStorage": {"s3": {"bucket": "abc", "endpoint": "s3.example.com"}}, "distributed": {}}
    assert "without TLS" in refusal(kafka={"external": EXTERNAL}, traces=distributed)
    plain = {"bootstrapServers": "a.example.com:9092", "encrypted": False}
    parse(config(kafka={"external": plain}, traces=distributed), "Pulumi.test.yaml")
