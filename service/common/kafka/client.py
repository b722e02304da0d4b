"""The configuration of every Kafka client, and the detection of a client that has lost its brokers."""

import logging
import math
import time
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from service.common.config import ServiceSettings

CHECK_SECONDS: Final = 2.0
"""Time limit of a metadata request."""
# A client pauses between its attempts to connect, so it may need this long where another client succeeds at once.
_PATIENCE_SECONDS: Final = 8.0
# librdkafka's defaults, 10 s and 30 s, would keep a client disconnected long after the brokers are available again.
_RECONNECT_MS: Final = 1000
_CONNECT_MS: Final = 3000

client_logger: Final = logging.getLogger("librdkafka")


@dataclass(frozen=True, kw_only=True)
class Replication:
    """The state of all partitions that the client may know."""

    under_replicated: float
    """Partitions of which a replica is not in sync."""
    offline: float
    """Partitions without a leader."""


UNKNOWN_REPLICATION: Final = Replication(under_replicated=math.nan, offline=math.nan)
"""The state while no broker answers."""


class BrokersLost(Exception):
    """Brokers answer other clients, but this client never asks them again: only a new client helps.

    librdkafka forgets the brokers that are not in the metadata, and a broker that shuts down leaves itself out of it.
    After it forgets the last one, librdkafka starts again from the configured addresses. A metadata response that
    arrives later cancels this, and from then on the client asks no broker (seen in 2.16; `metadata.recovery.*` makes no
    difference).
    """


def client_configuration(settings: ServiceSettings, client_id: str) -> dict[str, Any]:
    """The part of the configuration that all clients share."""
    return {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": client_id,
        "reconnect.backoff.max.ms": _RECONNECT_MS,
        "socket.connection.setup.timeout.ms": _CONNECT_MS,
        **_security(settings),
    }


def _security(settings: ServiceSettings) -> dict[str, str]:
    """TLS, which verifies the brokers' names too, and SASL."""
    sasl = "SASL_" if settings.kafka_sasl_mechanism else ""
    configuration = {"security.protocol": f"{sasl}{'SSL' if settings.kafka_encrypted else 'PLAINTEXT'}"}
    if settings.kafka_ca:
        configuration["ssl.ca.pem"] = settings.kafka_ca
    if settings.kafka_sasl_mechanism:
        password = settings.kafka_password.get_secret_value() if settings.kafka_password else ""
        configuration |= {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "sasl.username": settings.kafka_username or "",
            "sasl.password": password,
        }
    return configuration


class ConnectionMonitor:
    """Checks whether a client still reaches its brokers."""

    def __init__(
        self,
        client: Producer | Consumer,
        configuration: dict[str, Any],
        *,
        check_seconds: float = CHECK_SECONDS,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        """Monitors one client.

        Args:
            client: The client.
            configuration: The client's, from `client_configuration`.
            check_seconds: Time limit of a metadata request.
            patience_seconds: How long the client may fail to reach brokers that answer another client.
        """
        self._client = client
        self._configuration = configuration
        self._check_seconds = check_seconds
        self._patience_seconds = patience_seconds
        self._only_others_since: float | None = None

    def check(self) -> Replication:
        """Requests the brokers' metadata, and returns the state of replicas; takes two time limits at most.

        Raises:
            KafkaException: No broker answers.
            BrokersLost: For `patience_seconds`, brokers have answered other clients only.
        """
        try:
            metadata = self._client.list_topics(timeout=self._check_seconds)
        except KafkaException as error:
            if not self._answer_another_client():
                self._only_others_since = None
            elif self._only_others_since is None:
                self._only_others_since = time.monotonic()
            elif time.monotonic() - self._only_others_since > self._patience_seconds:
                raise BrokersLost(f"Kafka answers other clients only: {error.args[0].str()}") from error
            raise
        self._only_others_since = None
        partitions = [partition for topic in metadata.topics.values() for partition in topic.partitions.values()]
        return Replication(
            under_replicated=sum(len(partition.isrs) < len(partition.replicas) for partition in partitions),
            offline=sum(partition.leader < 0 for partition in partitions),
        )

    def _answer_another_client(self) -> bool:
        # Without a log: the first client already logs the connections that fail.
        other = AdminClient({**self._configuration, "log_level": 0})
        try:
            other.list_topics(timeout=self._check_seconds)
        except KafkaException:
            return False
        return True
