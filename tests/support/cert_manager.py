"""cert-manager, which the project does not have: its controller runs on this machine, its kinds are in the cluster.

Its webhook does not run; the schema of the kinds alone decides what the API server takes.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import kubernetes
from kubernetes.dynamic import DynamicClient

from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from contracts.metadata import Manifest
from stack.kubernetes.objects import read_secret
from stack.polling import poll_until
from tests.support.foreign_kinds import apply_strictly, installed_kinds
from tests.support.programs import require_program

GROUPS: Final = frozenset({"cert-manager.io", "acme.cert-manager.io"})
_VERSION: Final = "cert-manager.io/v1"
_OWN_NAMESPACE: Final = "default"
"""In which the controller looks for the Secrets of ClusterIssuers."""
_ROOT: Final = "test-root"


@contextmanager
def cert_manager(client: kubernetes.client.ApiClient, directory: Path) -> Iterator[None]:
    """Run the controller; the test is skipped without its program or its kinds.

    Args:
        client: of the cluster, with a client certificate.
        directory: for its log, and for what it connects with.
    """
    program, metrics = require_program("cert-manager-controller"), f"127.0.0.1:{free_port()}"
    kubeconfig = directory / "cert-manager.kubeconfig"
    kubeconfig.write_text(json.dumps(_kubeconfig(client)))
    command: list[str | Path] = [program, f"--kubeconfig={kubeconfig}", "--leader-elect=false"]
    command += [f"--metrics-listen-address={metrics}", f"--cluster-resource-namespace={_OWN_NAMESPACE}"]
    process = ServerProcess(
        "cert-manager", command, directory, lambda: answers(f"http://{metrics}/metrics"), os.environ
    )
    with installed_kinds(client, GROUPS):
        try:
            process.start()
            yield
        finally:
            process.kill()


def _kubeconfig(client: kubernetes.client.ApiClient) -> Manifest:
    own = client.configuration
    cluster = {"server": own.host, "certificate-authority": own.ssl_ca_cert}
    user = {"client-certificate": own.cert_file, "client-key": own.key_file}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
    }


@contextmanager
def authority(client: kubernetes.client.ApiClient, issuer: str) -> Iterator[str]:
    """Create a ClusterIssuer with an authority of its own.

    Yields:
        The certificate of the authority, as PEM.
    """
    reference = {"name": _ROOT, "kind": "ClusterIssuer", "group": "cert-manager.io"}
    root = {"isCA": True, "commonName": "authority of the tests", "secretName": _ROOT, "issuerRef": reference}
    try:
        apply_strictly(client, _OWN_NAMESPACE, [_object("ClusterIssuer", _ROOT, {"selfSigned": {}})])
        apply_strictly(client, _OWN_NAMESPACE, [_object("Certificate", _ROOT, root)])
        poll_until("the authority", lambda: _pem(client), seconds=60, every=0.5)
        apply_strictly(client, _OWN_NAMESPACE, [_object("ClusterIssuer", issuer, {"ca": {"secretName": _ROOT}})])
        poll_until("the issuer", lambda: _is_ready(client, issuer), seconds=60, every=0.5)
        yield _pem(client)
    finally:
        kubernetes.client.CoreV1Api(client).delete_namespaced_secret(_ROOT, _OWN_NAMESPACE)


def _object(kind: str, name: str, spec: Manifest) -> Manifest:
    return {"apiVersion": _VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _pem(client: kubernetes.client.ApiClient) -> str:
    """Return the certificate of the authority; empty while there is none."""
    return read_secret(client, _OWN_NAMESPACE, _ROOT).get("tls.crt", "")


def _is_ready(client: kubernetes.client.ApiClient, issuer: str) -> bool:
    resource = DynamicClient(client).resources.get(api_version=_VERSION, kind="ClusterIssuer")
    conditions = (resource.get(name=issuer).to_dict().get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
