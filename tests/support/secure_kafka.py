"""A real Kafka that the stack did not build: with TLS, and users that SASL authenticates."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from checks.harness.certificates import self_signed
from checks.harness.kafka import KafkaBrokers
from checks.harness.ports import free_port
from contracts import secret_keys
from stack.components.kafka.access import KafkaAccess, external_access
from stack.components.kafka.settings import ExternalKafka, Kafka
from tests.support.outputs import value

USERNAME: Final = "stack"
PASSWORD: Final = "c0rrect-horse;battery staple"
_LOGIN: Final = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class SecureKafka:
    """The broker, and the settings of a stack that uses it."""

    brokers: KafkaBrokers
    external: ExternalKafka


@contextmanager
def secure_kafka(directory: Path, class_path: str, host: str = "localhost") -> Iterator[SecureKafka]:
    """Runs a broker that takes clients on a port of 127.0.0.1 with TLS and SASL; SCRAM and PLAIN have the same user.

    Args:
        directory: of its files.
        class_path: of Kafka.
        host: the name by which clients reach it, and which is in its certificate.
    """
    brokers = KafkaBrokers(directory, class_path)
    key, certificate = self_signed(host)
    own, port = brokers.address(0).partition(":")[0], free_port()

    def pem(content: bytes) -> str:
        return content.decode().strip().replace("\n", "\\n")

    brokers.configure(
        Kafka(),
        f"listeners=BROKER://{own}:9092,CONTROLLER://{own}:9093,CLIENT://127.0.0.1:{port}",
        f"advertised.listeners=BROKER://{own}:9092,CLIENT://{host}:{port}",
        "listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENT:SASL_SSL",
        "listener.name.client.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN",
        f"listener.name.client.scram-sha-512.sasl.jaas.config={_LOGIN}.scram.ScramLoginModule required;",
        f"listener.name.client.plain.sasl.jaas.config={_LOGIN}.plain.PlainLoginModule required "
        f'user_{USERNAME}="{PASSWORD}";',
        "listener.name.client.ssl.keystore.type=PEM",
        f"listener.name.client.ssl.keystore.key={pem(key)}",
        f"listener.name.client.ssl.keystore.certificate.chain={pem(certificate)}",
    )
    try:
        brokers.start(0)
        brokers.wait(0)
        brokers.run(
            "kafka.admin.ConfigCommand",
            *("--bootstrap-server", brokers.address(0), "--alter", "--entity-type", "users"),
            *("--entity-name", USERNAME, "--add-config", f"SCRAM-SHA-512=[password={PASSWORD}]"),
        )
        yield SecureKafka(
            brokers=brokers,
            external=ExternalKafka(
                bootstrap_servers=f"{host}:{port}",
                ca=certificate.decode(),
                mechanism="SCRAM-SHA-512",
                username=USERNAME,
            ),
        )
    finally:
        brokers.kill()


def access(external: ExternalKafka) -> KafkaAccess:
    """Return how the stack's clients reach it."""
    return external_access(external, publish_seconds=20)


def environment(variables: Any, password: str = PASSWORD) -> dict[str, str]:
    """Return the variables of a container in its pod, where the Secret holds the password."""
    values: dict[str, str] = {}
    for variable in variables:
        if variable.value is None:
            assert variable.value_from.secret_key_ref.key == secret_keys.KAFKA_PASSWORD
        values[variable.name] = password if variable.value is None else value(variable.value)
    return values
