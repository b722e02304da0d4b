"""The section `encryption` of the settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from contracts import secret_keys
from contracts.section import Section

EncryptionValue = bool | Literal["accepted", "preferred"]


@dataclass(frozen=True, kw_only=True)
class EncryptionStep:
    """How far a stack is on its way from connections in clear to TLS."""

    takes_plain: bool
    """Whether servers take connections in clear."""
    takes_tls: bool
    """Whether servers take connections with TLS."""
    speaks_tls: bool
    """Whether clients connect with TLS."""


STEPS: Final[Mapping[EncryptionValue, EncryptionStep]] = {
    False: EncryptionStep(takes_plain=True, takes_tls=False, speaks_tls=False),
    "accepted": EncryptionStep(takes_plain=True, takes_tls=True, speaks_tls=False),
    "preferred": EncryptionStep(takes_plain=True, takes_tls=True, speaks_tls=True),
    True: EncryptionStep(takes_plain=False, takes_tls=True, speaks_tls=True),
}
"""Value of a setting → step, in the order in which a running stack takes them.

In a rolling update, clients with one of two neighbouring values reach servers with either.
"""


def setting_text(value: EncryptionValue) -> str:
    """Return a value as the settings file has it."""
    return str(value).lower()


class Encryption(Section):
    """TLS between the pods of the stack, with certificates of the stack's own authority.

    A server that the stack did not build has its own settings, such as `kafka.external.encrypted`.

    A running stack gets to `kafka`, `telemetry` and `services` in three deployments, which lose nothing. With
    `accepted`, servers take TLS as well; with `preferred`, all of the stack's programs use it, and servers still take
    connections in clear; with `true` they refuse these.
    """

    postgres: bool = False
    """Whether the stack's own Postgres refuses connections without TLS. The task-manager verifies its name, and
    reads and writes rows only; the role that owns the tables migrates them before each start."""

    telemetry: EncryptionValue = False
    """Whether the Collectors, the stack's own stores and Alertmanager refuse connections without TLS, and requests
    without a token; so do the ports of telemetry that Prometheus scrapes. Pods of one Alertmanager, pods of one Loki,
    and parts of one Tempo know each other by certificates from `preferred` on."""
    kafka: EncryptionValue = False
    """Whether the stack's own Kafka refuses connections without TLS. Brokers know each other by certificates. Each
    program has a user with a password, and reaches its own topics alone; the pod `kafka-users` writes users and
    rights."""

    services: EncryptionValue = False
    """Whether the services, the probe, Grafana and the publisher of dashboards refuse connections without TLS: calls of
    the services to each other, what Prometheus scrapes, and an Ingress. What this must know is in stack/README.md."""

    @property
    def enabled(self) -> bool:
        """Whether the stack needs an authority of its own."""
        return bool(self.postgres or self.telemetry or self.kafka or self.services)

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """Keys of the secrets that TLS needs."""
        return (
            *((secret_keys.AUTHORITY_SEED,) if self.enabled else ()),
            *((secret_keys.POSTGRES_SERVICE_PASSWORD,) if self.postgres else ()),
            *((secret_keys.TELEMETRY_TOKEN,) if self.telemetry else ()),
            *(secret_keys.KAFKA_USER_PASSWORD.values() if self.kafka else ()),
        )
