"""cert-manager, where its controller is on PATH: it makes the certificate of our Ingress, and Traefik serves it."""

import os
import ssl
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException

from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from contracts import http
from contracts.metadata import Manifest
from stack.polling import poll_until
from tests.support.api_server import ApiServer, running
from tests.support.foreign_kinds import apply_strictly, create_namespace, installed_kinds
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
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    directory = tmp_path_factory.mktemp("cert-manager")
    program, port = require_program("cert-manager-controller"), free_port()
    require_program("traefik")
    (directory / "kubernetes").mkdir()
    with (
        running(directory / "kubernetes") as server,
        installed_kinds(server.client, {"cert-manager.io", "acme.cert-manager.io"}),
    ):
        metrics = f"127.0.0.1:{free_port()}"
        command: list[str | Path] = [program, f"--kubeconfig={server.kubeconfig}", "--leader-elect=false"]
        command += [f"--metrics-listen-address={metrics}", "--cluster-resource-namespace=default"]
        manager = ServerProcess(
            "cert-manager", command, directory, lambda: answers(f"http://{metrics}/metrics"), os.environ
        )
        try:
            manager.start()
            with traefik(directory, server.kubeconfig, "kubernetesingress", port):
                yield Outside(server=server, port=port)
        finally:
            manager.kill()


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
