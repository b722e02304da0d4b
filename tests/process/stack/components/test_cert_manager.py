"""cert-manager, where its controller is on PATH: it makes the certificates of our servers and of our Ingress."""

import contextlib
import ssl
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from tempfile import NamedTemporaryFile
from typing import Final

import httpx
import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException

from checks.harness.ports import free_port
from checks.rotation.issued import reissue
from contracts import http
from contracts.metadata import Manifest
from stack.components.encryption.issuers import Certified
from stack.deploy.issuer import require_issuer
from stack.errors import DeployError
from stack.kubernetes.certificates import Certificates
from stack.kubernetes.diagnosis import PodState
from stack.kubernetes.objects import read_secret
from stack.polling import poll_until
from stack.settings import Settings, parse
from tests.support.api_server import ApiServer, running
from tests.support.cert_manager import authority, cert_manager
from tests.support.configuration import config
from tests.support.foreign_kinds import apply_strictly, create_namespace
from tests.support.program import dev_with
from tests.support.programs import require_program
from tests.support.traefik import request, traefik

_ISSUERS: Final = {"issuer": "Issuer", "clusterIssuer": "ClusterIssuer"}
"""Setting of `ingress.tls` → kind of cert-manager."""


@dataclass(frozen=True, kw_only=True)
class Outside:
    """The cluster, and the port of its ingress controller."""

    server: ApiServer
    port: int


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A cluster with cert-manager."""
    directory = tmp_path_factory.mktemp("cert-manager")
    require_program("cert-manager-controller")
    (directory / "kubernetes").mkdir()
    with running(directory / "kubernetes") as server, cert_manager(server.client, directory):
        yield server


@pytest.fixture(scope="module")
def outside(managed: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    directory = tmp_path_factory.mktemp("traefik")
    require_program("traefik")
    port = free_port()
    with traefik(directory, managed.kubeconfig, ["kubernetesingress"], port):
        yield Outside(server=managed, port=port)


def _ingress(namespace: str, host: str, setting: str) -> Manifest:
    """Return what the stack declares."""
    api = {"host": host, "reason": "Customers submit their tasks here"}
    objects = dev_with(ingress={"taskApi": api, "tls": {setting: "self-signed"}})
    (ingress,) = (item for (kind, _), item in objects.items() if kind == "Ingress")
    return {**ingress, "metadata": {**ingress["metadata"], "namespace": namespace}}


def _certificate(server: ApiServer, name: str, namespace: str) -> str | None:
    """Return the certificate of a Secret in PEM; None while there is none."""
    try:
        secret = kubernetes.client.CoreV1Api(server.client).read_namespaced_secret(name, namespace)
    except ApiException:
        return None
    return b64decode(secret.data["tls.crt"]).decode()


@pytest.mark.parametrize("setting", _ISSUERS)
def test_the_ingress_has_a_certificate_that_clients_verify(setting: str, outside: Outside) -> None:
    host, namespace = f"{setting.lower()}.example.com", setting.lower()
    create_namespace(outside.server.client, namespace)
    issuer = {
        "apiVersion": "cert-manager.io/v1",
        "kind": _ISSUERS[setting],
        "metadata": {"name": "self-signed"},
        "spec": {"selfSigned": {}},
    }
    ingress = _ingress(namespace, host, setting)
    (tls,) = ingress["spec"]["tls"]
    apply_strictly(outside.server.client, namespace, [issuer, ingress])
    certificate = poll_until(
        "the certificate", lambda: _certificate(outside.server, tls["secretName"], namespace), seconds=120, every=0.5
    )
    trusted = ssl.create_default_context(cadata=certificate)

    def is_verified() -> bool:
        try:
            answer = request(outside.port, trusted, "GET", host, http.TASKS)
        except httpx.ConnectError:  # Traefik has not read the Secret
            return False
        # There are no pods.
        return answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.SERVICE_UNAVAILABLE)

    poll_until("the certificate at Traefik", is_verified, seconds=60, every=0.5)
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        request(outside.port, ssl.create_default_context(), "GET", host, http.TASKS)


_ISSUER: Final = "private"
_SERVERS: Final = "servers"


@dataclass(frozen=True, kw_only=True)
class Issued:
    """The certificates of a stack's servers."""

    client: kubernetes.client.ApiClient
    authority: str
    names: frozenset[str]

    def states(self) -> dict[str, PodState]:
        """Return the state of each that is not there."""
        certificates = Certificates(names=self.names, authority=self.authority)
        return certificates.unready(self.client, _SERVERS)


@pytest.fixture(scope="module")
def servers(managed: ApiServer) -> Iterator[Issued]:
    """What the stack declares, applied."""
    client = managed.client
    create_namespace(client, _SERVERS)
    with authority(client, _ISSUER) as pem:
        encryption = {"kafka": True, "postgres": True, "telemetry": True, "services": True}
        objects = dev_with(encryption={**encryption, "issuer": {"name": _ISSUER, "authority": pem}})
        declared = [item for (kind, _), item in objects.items() if kind == "Certificate"]
        for item in declared:
            item["metadata"] = {**item["metadata"], "namespace": _SERVERS}
        apply_strictly(client, _SERVERS, declared)
        names = frozenset(item["metadata"]["name"] for item in declared)
        issued = Issued(client=client, authority=pem, names=names)
        poll_until("the certificates of all servers", lambda: not issued.states(), seconds=120, every=0.5)
        yield issued


def test_each_server_has_the_files_that_its_pods_mount(servers: Issued) -> None:
    trusted = ssl.create_default_context(cadata=servers.authority)
    assert {"kafka-issued", "postgres-issued", "collector-issued", "gateway-issued"} <= servers.names
    for name in servers.names:
        files = read_secret(servers.client, _SERVERS, name)
        combined = files["tls-combined.pem"]
        assert combined.startswith("-----BEGIN PRIVATE KEY-----")
        assert files["tls.key"].strip() in combined
        assert files["tls.crt"].strip() in combined
        assert _is_accepted(trusted, combined, name.removesuffix("-issued"))


def _is_accepted(trusted: ssl.SSLContext, combined: str, host: str) -> bool:
    """Whether a client that verifies the name accepts a server with this key and certificate."""
    with NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(combined)
        file.flush()
        own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own.load_cert_chain(file.name)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusted.wrap_bio(to_client, to_server, server_hostname=host)
    server = own.wrap_bio(to_server, to_client, server_side=True)
    is_done = {client: False, server: False}
    for _ in range(10):
        for side in is_done:
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
                is_done[side] = True
    return all(is_done.values())


def test_a_deployment_goes_on_with_an_issuer_that_can_sign(servers: Issued) -> None:
    def settings(name: str) -> Settings:
        cluster = {"context": "c", "namespace": _SERVERS}
        encryption = {"postgres": True, "issuer": {"name": name, "authority": servers.authority}}
        return parse(config(cluster=cluster, encryption=encryption), "test")

    require_issuer(servers.client, settings(_ISSUER))
    with pytest.raises(DeployError, match="no ClusterIssuer 'other'; nothing was changed"):
        require_issuer(servers.client, settings("other"))
    unable = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "ClusterIssuer",
        "metadata": {"name": "unable"},
        "spec": {"ca": {"secretName": "none"}},
    }
    apply_strictly(servers.client, _SERVERS, [unable])

    def refusal() -> str:
        with pytest.raises(DeployError) as caught:
            require_issuer(servers.client, settings("unable"))
        return str(caught.value)

    poll_until("the state of the issuer", lambda: "is not ready" in refusal(), seconds=30, every=0.5)


def test_certificates_are_issued_again_with_other_keys(servers: Issued) -> None:
    certificates = [Certified(name=name, secret=name, is_issued=True) for name in sorted(servers.names)[:3]]
    previous = {item.name: read_secret(servers.client, _SERVERS, item.secret) for item in certificates}
    started = time.monotonic()
    for item, certificate in reissue(servers.client, _SERVERS, certificates):
        now = read_secret(servers.client, _SERVERS, item.secret)
        assert certificate == now["tls.crt"] != previous[item.name]["tls.crt"]
        assert now["tls.key"] != previous[item.name]["tls.key"]
    assert time.monotonic() - started < 120
    poll_until("the certificates", lambda: not servers.states(), seconds=60, every=0.5)
