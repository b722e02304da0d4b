"""The way to Kafka's brokers: what all clients are set up with, and how one that has lost its way is told."""

from __future__ import annotations

import time
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from service.common.config import ServiceSettings

CHECK_SECONDS: Final = 2.0
"""How long a question may take."""
PATIENCE_SECONDS: Final = 8.0
"""How long a client may need to find brokers that others have found: it waits between its tries, and in one."""
# The client's own 10 s would keep it away long after the brokers are back, and so would its 30 s for a connection that
# began while they were gone.
_RECONNECT_MS: Final = 1000
_CONNECT_MS: Final = 3000


class Lost(Exception):
    """Brokers answer, but not this client, which will never ask them again: only a new one helps.

    librdkafka forgets brokers that others no longer name, and a broker that is going down leaves itself out. Having
    forgotten the last one it begins anew from the configured addresses; but an answer that still comes in cancels that,
    and it then asks nobody any more (seen in 2.16; `metadata.recovery.*` makes no difference).
    """


def configuration(settings: ServiceSettings, client_id: str) -> dict[str, Any]:
    """What every client has in its configuration."""
    return {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": client_id,
        "reconnect.backoff.max.ms": _RECONNECT_MS,
        "socket.connection.setup.timeout.ms": _CONNECT_MS,
    }


class Watch:
    """Tells whether a client still finds its way."""

    def __init__(self, client: Producer | Consumer, configured: dict[str, Any]) -> None:
        """configured: what `configuration` gave for it."""
        self._client = client
        self._configured = configured
        self._others_since: float | None = None

    def ask(self) -> None:
        """Has the client ask the brokers for their metadata; takes 2 `CHECK_SECONDS` at most.

        Raises:
            KafkaException: no broker answers.
            Lost: brokers have answered others for `PATIENCE_SECONDS`.
        """
        try:
            self._client.list_topics(timeout=CHECK_SECONDS)
        except KafkaException as error:
            if not _answer(self._configured):
                self._others_since = None
            elif self._others_since is None:
                self._others_since = time.monotonic()
            elif time.monotonic() - self._others_since > PATIENCE_SECONDS:
                raise Lost(f"Kafka answers others: {error.args[0].str()}") from error
            raise
        self._others_since = None


def _answer(configured: dict[str, Any]) -> bool:
    # What it would say of connections that fail, the first client says already.
    other = AdminClient({**configured, "log_level": 0})
    try:
        other.list_topics(timeout=CHECK_SECONDS)
    except KafkaException:
        return False
    return True
