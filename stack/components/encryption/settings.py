"""The section `encryption` of the settings."""

from typing import Literal

from contracts import secret_keys
from contracts.section import Section

KafkaEncryption = bool | Literal["accepted", "preferred"]


class Encryption(Section):
    """TLS between the pods of the stack, with certificates of the stack's own authority.

    A server that the stack did not build has its own settings, such as `kafka.external.encrypted`.
    """

    postgres: bool = False
    """Whether the stack's own Postgres refuses connections without TLS. The task-manager verifies its name, and
    reads and writes rows only; the role that owns the tables migrates them before each start."""

    telemetry: bool = False
    """Whether the Collectors, the stack's own stores and Alertmanager refuse connections without TLS, and requests
    without a token; so do the ports of telemetry that Prometheus scrapes."""
    kafka: KafkaEncryption = False
    """Whether the stack's own Kafka refuses connections without TLS. Brokers know each other by certificates. Each
    program has a user with a password, and reaches its own topics alone; the pod `kafka-users` writes users and rights.
    A running stack gets there in three deployments, which lose nothing: with `accepted`, brokers take TLS as well; with
    `preferred`, all programs use it, and brokers still take connections in clear; with `true` they refuse these."""

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """Keys of the secrets that TLS needs."""
        return (
            *((secret_keys.AUTHORITY_SEED,) if self.postgres or self.telemetry or self.kafka else ()),
            *((secret_keys.POSTGRES_SERVICE_PASSWORD,) if self.postgres else ()),
            *((secret_keys.TELEMETRY_TOKEN,) if self.telemetry else ()),
            *(secret_keys.KAFKA_USER_PASSWORD.values() if self.kafka else ()),
        )
