"""`python -m stack.kafka_users`: keeps Kafka's users, rights and certificates as declared, until SIGTERM.

Once would not do: a Kafka that lost its volume gets its users again, and certificates are renewed.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry

from contracts import endpoints
from stack.kafka_users.administration import Administration
from stack.kafka_users.certificates import CLIENT, LISTENERS, renew
from stack.kafka_users.declared import Declared
from stack.probe.server import serve
from stack.probe.stopping import stop_event

_INTERVAL_SECONDS: Final = 15.0
_RETRY_SECONDS: Final = 3.0
_logger = logging.getLogger(__name__)


def main() -> int:
    """Run until SIGTERM; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    stopping = stop_event()
    is_written = False
    server = serve(
        os.environ.get("HOST", ""),
        int(os.environ.get("PORT", endpoints.SERVICE_PORT)),
        CollectorRegistry(),
        is_alive=lambda: True,
        is_ready=lambda: is_written,
    )
    administration = Administration()
    while not stopping.is_set():
        try:
            # A new one each time: it reads its own certificate, which may be new, once.
            admin = _client()
            _write(administration, admin)
            is_written = True
            problems = _renew(admin)
        except (KafkaException, OSError) as error:
            problems = [str(error)]
        for problem in problems:
            _logger.warning("%s", problem)
        stopping.wait(_RETRY_SECONDS if problems else _INTERVAL_SECONDS)
    server.shutdown()
    return 0


def _client() -> AdminClient:
    return AdminClient(
        {
            "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
            "security.protocol": "SSL",
            "ssl.ca.location": os.environ["KAFKA_AUTHORITY"],
            "ssl.certificate.location": os.environ["KAFKA_CERTIFICATE"],
            "ssl.key.location": os.environ["KAFKA_KEY"],
        },
        logger=_logger,
    )


def _write(administration: Administration, admin: AdminClient) -> None:
    declared = Declared.read(Path(os.environ["DECLARED_FILE"]), os.environ)
    for change in administration.apply(admin, declared):
        _logger.info("%s", change)


def _renew(admin: AdminClient) -> list[str]:
    """Let brokers read their certificates; that of clients may be another one, of another authority."""
    for_clients = [CLIENT] if "CLIENT_CERTIFICATE" in os.environ else []
    problems = renew(
        admin,
        certificate=Path(os.environ["BROKER_CERTIFICATE"]),
        authority=Path(os.environ["KAFKA_AUTHORITY"]),
        keystore=os.environ["BROKER_KEYSTORE"],
        listeners=[name for name in LISTENERS if name not in for_clients],
    )
    if for_clients:
        problems += renew(
            admin,
            certificate=Path(os.environ["CLIENT_CERTIFICATE"]),
            authority=Path(os.environ["CLIENT_AUTHORITY"]),
            keystore=os.environ["CLIENT_KEYSTORE"],
            listeners=for_clients,
        )
    return problems


if __name__ == "__main__":
    sys.exit(main())
