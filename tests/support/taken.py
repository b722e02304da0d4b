"""What the servers of rendered manifests take: connections in clear, with TLS, with a token."""

import re
from dataclasses import dataclass
from typing import Any

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from contracts import endpoints
from contracts.connections import TEMPO_PARTS
from stack.components.encryption.proxy.config import CERTIFICATE
from tests.support.proxied_pods import Objects, pod

_ISSUED = "-issued"
"""End of the names of Secrets that cert-manager makes."""
_OTLP = {endpoints.OTLP_GRPC_PORT: "grpc", endpoints.OTLP_HTTP_PORT: "http"}
_CONFIGURATIONS = {endpoints.LOKI: ("loki-config", "loki.yaml"), endpoints.TEMPO: ("tempo-config", "tempo.yaml")}


@dataclass(frozen=True, kw_only=True)
class Call:
    """How a client connects to a port."""

    port: int
    trusted: str | None = None
    """The authorities that the client trusts, as PEM; None: it connects in clear."""
    has_token: bool = False
    """Whether its requests have the token of telemetry."""


@dataclass(frozen=True, kw_only=True)
class Port:
    """What a server takes at a port."""

    takes_plain: bool
    certificate: str | None = None
    """What it shows, as PEM; None: it takes no TLS."""
    needs_token: bool = False
    """Whether it asks callers with TLS for the token of telemetry."""

    def takes(self, call: Call) -> bool:
        """Return whether the connection of a client succeeds."""
        if call.trusted is None:
            return self.takes_plain
        if self.certificate is None or not is_signed(self.certificate, call.trusted):
            return False
        return call.has_token or not self.needs_token


def is_signed(certificate: str, authorities: str) -> bool:
    """Return whether one of the authorities, of which there may be none, has signed a certificate."""
    if not authorities:
        return False
    loaded = x509.load_pem_x509_certificate(certificate.encode())
    for authority in x509.load_pem_x509_certificates(authorities.encode()):
        try:
            loaded.verify_directly_issued_by(authority)
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


def port(objects: Objects, server: str, number: int, *, issued: str | None = None) -> Port:
    """Return what a server takes at a port.

    Args:
        objects: all of the stack.
        server: its name.
        number: of the port.
        issued: a certificate as cert-manager's issuer signs them.
    """
    if server == endpoints.KAFKA:
        return _of_brokers(objects, number, issued)
    proxy = objects.get(("ConfigMap", f"{server}-proxy"))
    text = proxy["data"]["haproxy.cfg"] if proxy else ""
    if f"listen peers-{number}\n" in text:
        return Port(takes_plain=False, certificate=_of_peers(objects, server))
    takes_plain = f"frontend either-{number}\n" in text
    if section := re.search(rf"^listen port-{number}\n(?:  .*\n)+", text, re.MULTILINE):
        certificate = _mounted(objects, server, CERTIFICATE, issued)
        return Port(takes_plain=takes_plain, certificate=certificate, needs_token="has-token" in section[0])
    if server == endpoints.COLLECTOR and number in _OTLP and _has_tls(objects, number):
        return Port(takes_plain=takes_plain, certificate=_mounted(objects, server, "/etc/otelcol-certificate", issued))
    if _is_encrypted_among_peers(objects, server, number):
        return Port(takes_plain=False, certificate=_of_peers(objects, server))
    assert not takes_plain, "TLS without a certificate"
    return Port(takes_plain=True)


def _of_brokers(objects: Objects, number: int, issued: str | None) -> Port:
    """Return what all brokers take."""
    (protocol,) = {
        protocols(objects, broker).get(number) for broker in range(objects["StatefulSet", "kafka"]["spec"]["replicas"])
    }
    if protocol is None:
        return Port(takes_plain=False)
    if protocol == "PLAINTEXT":
        return Port(takes_plain=True)
    secrets = _secrets(objects, endpoints.KAFKA)
    of_clients = secrets.get("/etc/kafka-client-certificate")
    secret = of_clients if of_clients and number == endpoints.KAFKA_TLS_PORT else secrets["/etc/kafka-certificate"]
    return Port(takes_plain=False, certificate=_certificate(objects, secret, issued))


def protocols(objects: Objects, broker: int) -> dict[int, str]:
    """Return port → protocol of a broker's listeners."""
    properties = broker_properties(objects, broker)
    names = dict(item.split(":") for item in properties["listener.security.protocol.map"].split(","))
    addresses = [item.partition("://:") for item in properties["listeners"].split(",")]
    return {int(number): names[name] for name, _, number in addresses}


def broker_properties(objects: Objects, broker: int) -> dict[str, str]:
    """Return the configuration of a broker."""
    text = objects["ConfigMap", "kafka-config"]["data"][f"kafka-{broker}.properties"]
    return dict(line.split("=", 1) for line in text.splitlines() if line)


def _has_tls(objects: Objects, number: int) -> bool:
    document = yaml.safe_load(objects["ConfigMap", "collector-config"]["data"]["config.yaml"])
    return "tls" in document["receivers"]["otlp"]["protocols"][_OTLP[number]]


def _is_encrypted_among_peers(objects: Objects, server: str, number: int) -> bool:
    if (server, number) == (endpoints.ALERTMANAGER, endpoints.ALERTMANAGER_CLUSTER_PORT):
        (container,) = pod(objects, server)["containers"]
        return any(item.startswith("--cluster.tls-config=") for item in container["args"])
    if (server, number) == (endpoints.LOKI, endpoints.LOKI_GRPC_PORT):
        return "grpc_tls_config" in configuration(objects, endpoints.LOKI)["server"]
    if server in TEMPO_PARTS and number == endpoints.TEMPO_GRPC_PORT:
        return "grpc_tls_config" in configuration(objects, endpoints.TEMPO)["server"]
    return False


def configuration(objects: Objects, program: str) -> dict[str, Any]:
    """Return the configuration of Loki or Tempo."""
    name, file = _CONFIGURATIONS[program]
    return dict(yaml.safe_load(objects["ConfigMap", name]["data"][file]))


def _secrets(objects: Objects, workload: str) -> dict[str, str]:
    """Return mount path → name of each Secret that the pods of a workload mount."""
    spec = pod(objects, workload)
    secrets = {item["name"]: item["secret"]["secretName"] for item in spec["volumes"] if "secret" in item}
    containers = [*spec["containers"], *spec.get("initContainers", [])]
    mounts = [item for container in containers for item in container.get("volumeMounts", [])]
    return {item["mountPath"]: secrets[item["name"]] for item in mounts if item["name"] in secrets}


def _mounted(objects: Objects, workload: str, folder: str, issued: str | None) -> str:
    return _certificate(objects, _secrets(objects, workload)[folder], issued)


def _of_peers(objects: Objects, workload: str) -> str:
    return _mounted(objects, workload, "/etc/peers", None)


def _certificate(objects: Objects, secret: str, issued: str | None) -> str:
    if secret.endswith(_ISSUED):
        assert issued
        return issued
    return str(objects["Secret", secret]["stringData"]["tls.crt"])
