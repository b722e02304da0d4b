"""Gives the servers of the local stack other certificates, as the first deployment of each 30 days does."""

import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import kubernetes
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from checks.chaos.cluster import LocalCluster
from contracts import endpoints, secret_keys
from stack.components.encryption.authority import RENEWAL, Authority
from stack.components.encryption.server import certificate_files, certificate_secret
from stack.components.kafka.config import certificate_hosts
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret
from stack.polling import poll_until
from stack.settings import Settings

_SECONDS: Final = 300.0
"""The kubelet updates the files of a Secret once a minute, and later on a busy machine."""
_SSL_REQUEST: Final = struct.pack("!II", 8, 80877103)
"""With which a client of Postgres asks for TLS."""


@dataclass(frozen=True, kw_only=True)
class _Server:
    name: str
    hosts: list[str]
    is_client: bool = False
    ports: tuple[int, ...]


def renew_certificates(settings: Settings) -> None:
    """Gives each server the certificate of another period, and then its own again.

    Raises:
        CheckFailure: a server still shows the one that it had.
    """
    client = connect(settings.cluster)
    namespace = settings.cluster.namespace
    cluster = LocalCluster(settings)
    authority = Authority(read_secret(client, namespace, secret_keys.SECRET)[secret_keys.AUTHORITY_SEED])
    for periods in (-1, 0):
        for server in _servers(settings):
            moment = datetime.now(UTC) + periods * RENEWAL
            issued = authority.issue(server.name, server.hosts, moment, is_client=server.is_client)
            kubernetes.client.CoreV1Api(client).patch_namespaced_secret(
                certificate_secret(server.name), namespace, {"stringData": certificate_files(issued)}
            )
            expected = x509.load_pem_x509_certificate(issued.certificate.encode()).public_bytes(Encoding.DER)
            address = cluster.address(server.name)
            for port in server.ports:
                poll_until(
                    f"{server.name}:{port} to show its new certificate",
                    lambda address=address, port=port, expected=expected: _shown(address, port) == expected,  # type: ignore[misc]
                    seconds=_SECONDS,
                    every=2,
                    look_at=f"the logs of {server.name}-0 and kafka-users",
                )


def _servers(settings: Settings) -> Iterator[_Server]:
    if settings.encryption.postgres:
        yield _Server(name=endpoints.POSTGRES, hosts=[endpoints.POSTGRES], ports=(endpoints.POSTGRES_PORT,))
    if settings.encryption.kafka:
        yield _Server(
            name=endpoints.KAFKA,
            hosts=certificate_hosts(settings.kafka.brokers),
            is_client=True,
            ports=endpoints.KAFKA_TLS_PORTS,
        )


def _shown(address: str, port: int) -> bytes | None:
    """Return the certificate that a server shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((address, port), timeout=10) as connection:
        if port == endpoints.POSTGRES_PORT:
            connection.sendall(_SSL_REQUEST)
            connection.recv(1)
        with context.wrap_socket(connection) as encrypted:
            return encrypted.getpeercert(binary_form=True)
