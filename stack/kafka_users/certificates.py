"""Lets the brokers read their certificate again when the file of it has changed.

A broker reads the file when its configuration is written, also if it is as before. The kubelet gives the brokers a new
file within two minutes, each at another time; so each broker is asked which certificate it shows.
"""

import re
import socket
import ssl
from collections.abc import Collection
from pathlib import Path
from typing import Final

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from contracts import endpoints

_SECONDS: Final = 10.0
CLIENT: Final = "client"
"""Listener of clients with a password."""
LISTENERS: Final = {
    "broker_tls": endpoints.KAFKA_BROKER_TLS_PORT,
    CLIENT: endpoints.KAFKA_TLS_PORT,
    "proxied": endpoints.KAFKA_PROXIED_PORT,
    "controller_tls": endpoints.KAFKA_CONTROLLER_TLS_PORT,
}
"""Name, as in the brokers' configuration → port."""


def renew(
    admin: AdminClient, *, certificate: Path, authority: Path, keystore: str, listeners: Collection[str] = LISTENERS
) -> list[str]:
    """Let each broker that shows another certificate read its file again.

    Args:
        admin: has all rights.
        certificate: the file that the brokers should show, as PEM: a certificate, and those that signed it.
        authority: that of the authority.
        keystore: path of the certificate with its key, on the brokers.
        listeners: the names of those that should show it.

    Returns:
        The problem of each listener that had another certificate, or could not be asked: call again until there is
        none.

    Raises:
        KafkaException: Kafka is unavailable, or a broker cannot use its file.
    """
    expected = _first(certificate.read_text())
    context = ssl.create_default_context(cafile=str(authority))
    problems = []
    for broker in admin.list_topics(timeout=_SECONDS).brokers.values():
        host, outdated = str(broker.host), []
        for name in listeners:
            port = LISTENERS[name]
            try:
                if _shown(context, host, port) == expected:
                    continue
                problems.append(f"{host}:{port} has another certificate")
                outdated.append(name)
            except ssl.SSLCertVerificationError as error:
                # It has ended, or is of an authority that signed the certificates of clients before.
                problems.append(f"{host}:{port} has another certificate: {error}")
                outdated.append(name)
            except OSError as error:
                problems.append(f"{host}:{port}: {error}")
        if outdated:
            _load(admin, str(broker.id), outdated, keystore)
    return problems


def _first(pem: str) -> bytes:
    """Return the first of some certificates."""
    match = re.search(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", pem, re.DOTALL)
    if match is None:
        raise OSError("the file of the brokers' certificate has none")
    return ssl.PEM_cert_to_DER_cert(match[0])


def _shown(context: ssl.SSLContext, host: str, port: int) -> bytes | None:
    """Return the certificate that a server shows, which comes before it asks for that of the client."""
    with (
        socket.create_connection((host, port), timeout=_SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=host) as encrypted,
    ):
        return encrypted.getpeercert(binary_form=True)


def _load(admin: AdminClient, broker: str, listeners: list[str], keystore: str) -> None:
    entries = [
        ConfigEntry(
            f"listener.name.{listener}.ssl.keystore.location", keystore, incremental_operation=AlterConfigOpType.SET
        )
        for listener in listeners
    ]
    resource = ConfigResource(ResourceType.BROKER, broker, incremental_configs=entries)
    for future in admin.incremental_alter_configs([resource], request_timeout=_SECONDS).values():
        future.result()
