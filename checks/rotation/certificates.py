"""Gives the local stack other certificates, as the first deployment of each 30 days does."""

import socket
import ssl
import struct
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import kubernetes
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from checks.chaos.cluster import LocalCluster
from checks.rotation.issued import reissue
from contracts import endpoints, secret_keys
from contracts.connections import TEMPO_PARTS
from contracts.services import SERVICES
from stack.components.encryption.authority import RENEWAL, Authority, Certificate
from stack.components.encryption.issuers import Certified
from stack.components.encryption.own_authority import certificate_files
from stack.components.encryption.peers import authority_group
from stack.components.encryption.server import CERTIFICATE_FILE
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret
from stack.polling import poll_until
from stack.settings import Settings
from stack.settings.certificates import BROKERS, certified

_SECONDS: Final = 300.0
"""The kubelet updates the files of a Secret once a minute, and later on a busy machine."""
PROXIED: Final[Mapping[str, int]] = {
    endpoints.COLLECTOR: endpoints.COLLECTOR_TELEMETRY_PORT,
    endpoints.SAMPLER: endpoints.COLLECTOR_TELEMETRY_PORT,
    endpoints.JAEGER: endpoints.JAEGER_QUERY_PORT,
    endpoints.LOKI: endpoints.LOKI_PORT,
    endpoints.PROMETHEUS: endpoints.PROMETHEUS_PORT,
    endpoints.ALERTMANAGER: endpoints.ALERTMANAGER_PORT,
    **dict.fromkeys(TEMPO_PARTS, endpoints.TEMPO_HTTP_PORT),
}
"""Server → a port of its proxy of telemetry."""
_OTHERS: Final[Mapping[str, tuple[int, ...]]] = {
    endpoints.POSTGRES: (endpoints.POSTGRES_PORT,),
    endpoints.KAFKA: endpoints.KAFKA_TLS_PORTS,
    endpoints.COLLECTOR: (endpoints.OTLP_GRPC_PORT, endpoints.OTLP_HTTP_PORT),
    endpoints.GRAFANA: (endpoints.GRAFANA_PORT,),
    **dict.fromkeys((*SERVICES, endpoints.PROBE, endpoints.GRAFANA_PUBLISHER), (endpoints.SERVICE_PORT,)),
}
"""Server → its other ports with TLS."""
_SSL_REQUEST: Final = struct.pack("!II", 8, 80877103)
"""With which a client of Postgres asks for TLS."""


def renew_certificates(settings: Settings, outside: Collection[str] = ()) -> None:
    """Gives each workload the certificate of another period, and then its own again; cert-manager issues new ones.

    Args:
        settings: of the stack.
        outside: back ends that the stack has not built, whose certificates stay.

    Raises:
        CheckFailure: a server still shows the one that it had, or cert-manager has issued none.
    """
    client = connect(settings.cluster)
    cluster = LocalCluster(settings, outside)
    certificates = certified(settings)
    if issued := [item for item in certificates if item.is_issued]:
        for item, certificate in reissue(client, settings.cluster.namespace, issued):
            _wait_shown(cluster, item.name, certificate)
    if own := [item for item in certificates if not item.is_issued]:
        _renew_own(cluster, client, own)


def _renew_own(cluster: LocalCluster, client: kubernetes.client.ApiClient, certificates: Sequence[Certified]) -> None:
    namespace = cluster.settings.cluster.namespace
    seed = read_secret(client, namespace, secret_keys.SECRET)[secret_keys.AUTHORITY_SEED]
    for periods in (-1, 0):
        issued = {}
        for item in certificates:
            previous = read_secret(client, namespace, item.secret)[CERTIFICATE_FILE]
            authority = Authority(seed, authority_group(item.name))
            issued[item.name] = issue_again(authority, previous, datetime.now(UTC) + periods * RENEWAL)
            kubernetes.client.CoreV1Api(client).patch_namespaced_secret(
                item.secret, namespace, {"stringData": certificate_files(issued[item.name])}
            )
        for name, certificate in issued.items():
            _wait_shown(cluster, name, certificate.certificate)


def issue_again(authority: Authority, previous: str, moment: datetime) -> Certificate:
    """Return a certificate with the names and uses of another one, for the period of a moment."""
    certificate = x509.load_pem_x509_certificate(previous.encode())
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    hosts = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return authority.issue(
        str(name.value),
        [str(host.value) for host in hosts],
        moment,
        is_client=ExtendedKeyUsageOID.CLIENT_AUTH in uses,
    )


def tls_ports(name: str, *, is_split: bool = False) -> tuple[int, ...]:
    """Return the ports at which a workload shows its certificate to all; a client has none, and peers have none.

    Args:
        name: of the certificate.
        is_split: whether Kafka's brokers show clients another certificate than each other.
    """
    if name == BROKERS:
        return tuple(port for port in endpoints.KAFKA_TLS_PORTS if port != endpoints.KAFKA_TLS_PORT)
    if name == endpoints.KAFKA and is_split:
        return (endpoints.KAFKA_TLS_PORT,)
    return (*_OTHERS.get(name, ()), *((PROXIED[name],) if name in PROXIED else ()))


def _wait_shown(cluster: LocalCluster, name: str, pem: str) -> None:
    """Wait until all pods of a server show a certificate, which is the first of a text."""
    expected = x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
    workload = endpoints.KAFKA if name == BROKERS else name
    is_split = cluster.settings.encryption.issuer is not None

    def is_shown() -> bool:
        addresses = [pod.status.pod_ip for pod in cluster.ready(workload)]
        ports = tls_ports(name, is_split=is_split)
        return all(_shown(address, port) == expected for address in addresses for port in ports)

    poll_until(
        f"{name} to show its new certificate",
        is_shown,
        seconds=_SECONDS,
        every=2,
        look_at=f"the logs of {name} and kafka-users",
    )


def _shown(address: str, port: int) -> bytes | None:
    """Return the certificate that a server shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection((address, port), timeout=10) as connection:
        if port == endpoints.POSTGRES_PORT:
            connection.sendall(_SSL_REQUEST)
            connection.recv(1)
        with context.wrap_socket(connection) as encrypted:
            return encrypted.getpeercert(binary_form=True)
