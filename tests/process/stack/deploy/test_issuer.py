"""An issuer of cert-manager is checked before a deployment, and its certificates are awaited: on a real API server.

The test writes what cert-manager would write. `test_cert_manager` has the program itself.
"""

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import kubernetes
import pytest
from kubernetes.dynamic import DynamicClient

from contracts.metadata import ISSUED, PART_OF, Manifest
from stack.components.encryption.authority import Authority
from stack.deploy.cluster_requirements import require_kinds
from stack.deploy.issuer import require_issuer
from stack.errors import DeployError
from stack.kubernetes.certificates import Certificates
from stack.kubernetes.inventory import prune
from stack.kubernetes.keys import ObjectKey
from stack.kubernetes.objects import Objects
from stack.settings import Settings, parse
from tests.support.api_server import running
from tests.support.configuration import config
from tests.support.foreign_kinds import create_namespace, defined, definition

_GROUP: Final = "cert-manager.io"
_NAMESPACE: Final = "tracing"
_THEIRS, _OTHER = Authority("a random text of the tests"), Authority("another one of the tests")
_READY: Final = {"type": "Ready", "status": "True"}
_ISSUER: Final = ObjectKey(f"{_GROUP}/v1", "ClusterIssuer", "private")
_CERTIFICATE: Final = ObjectKey(f"{_GROUP}/v1", "Certificate", "postgres-issued")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kubernetes.client.ApiClient]:
    """A cluster without cert-manager."""
    with running(tmp_path_factory.mktemp("kubernetes")) as server:
        create_namespace(server.client, _NAMESPACE)
        yield server.client


@pytest.fixture(scope="module")
def client(bare: kubernetes.client.ApiClient) -> Iterator[kubernetes.client.ApiClient]:
    """The same cluster with its kinds, and that of another project."""
    kinds = [(_GROUP, "ClusterIssuer", False), (_GROUP, "Issuer", True), (_GROUP, "Certificate", True)]
    kinds.append(("pca.example.com", "PrivateIssuer", False))
    with defined(bare, [definition(group, kind, namespaced=namespaced) for group, kind, namespaced in kinds]):
        create(bare, _ISSUER, _READY)
        yield bare


def settings(authority: str = _THEIRS.certificate, **issuer: str) -> Settings:
    """The settings of a stack with an issuer, by default with one that can sign."""
    cluster = {"context": "c", "namespace": _NAMESPACE}
    encryption = {"postgres": True, "issuer": {"name": "private", "authority": authority, **issuer}}
    return parse(config(cluster=cluster, encryption=encryption), "test")


def create(
    client: kubernetes.client.ApiClient, key: ObjectKey, *conditions: Mapping[str, Any], namespaced: bool = False
) -> None:
    """Create an object with a status."""
    resource = DynamicClient(client).resources.get(api_version=key.api_version, kind=key.kind)
    namespace = _NAMESPACE if namespaced else None
    manifest: Manifest = {"apiVersion": key.api_version, "kind": key.kind, "metadata": {"name": key.name}}
    created = resource.create(body=manifest, namespace=namespace).to_dict()
    body = {**created, "status": {"conditions": list(conditions)}}
    resource.status.replace(body=body, name=key.name, namespace=namespace)


def create_secret(client: kubernetes.client.ApiClient, authority: Authority) -> None:
    """Create the Secret that cert-manager would make of the certificate."""
    issued = authority.issue("postgres", ["postgres"], datetime.now(UTC))
    annotations = {"issuer-name": "private", "issuer-kind": "ClusterIssuer", "issuer-group": _GROUP}
    metadata = {
        "name": _CERTIFICATE.name,
        "labels": {"app.kubernetes.io/part-of": PART_OF, **ISSUED},
        "annotations": {f"{_GROUP}/{key}": value for key, value in annotations.items()},
    }
    data = {"tls.crt": base64.b64encode(issued.certificate.encode()).decode()}
    kubernetes.client.CoreV1Api(client).create_namespaced_secret(_NAMESPACE, {"metadata": metadata, "data": data})


def test_without_cert_manager_the_missing_kind_is_named(bare: kubernetes.client.ApiClient) -> None:
    require_issuer(bare, settings())
    certificate = {"apiVersion": _CERTIFICATE.api_version, "kind": _CERTIFICATE.kind}
    with pytest.raises(DeployError, match=r"no kind Certificate of cert-manager\.io/v1.*defined by cert-manager"):
        require_kinds(bare, [certificate])
    with pytest.raises(DeployError, match=r"no kind PrivateIssuer of pca\.example\.com; nothing was changed"):
        require_issuer(bare, settings(kind="PrivateIssuer", group="pca.example.com"))


def test_an_issuer_that_is_missing_is_named(client: kubernetes.client.ApiClient) -> None:
    with pytest.raises(DeployError, match=r"no ClusterIssuer 'other'; nothing was changed$"):
        require_issuer(client, settings(name="other"))
    with pytest.raises(DeployError, match=r"no Issuer 'private' in namespace tracing; .* Create the namespace first"):
        require_issuer(client, settings(kind="Issuer"))


@pytest.mark.parametrize(
    ("name", "conditions", "reason"),
    [
        ("unseen", [], "has no status: cert-manager's controller has not seen it"),
        ("unable", [{"type": "Ready", "status": "False", "message": "no such Secret"}], "is not ready: no such Secret"),
    ],
)
def test_an_issuer_that_cannot_sign_is_refused(
    client: kubernetes.client.ApiClient, name: str, conditions: list[dict[str, str]], reason: str
) -> None:
    create(client, _ISSUER._replace(name=name), *conditions)
    with pytest.raises(DeployError, match=f"ClusterIssuer '{name}' {reason}; nothing was changed"):
        require_issuer(client, settings(name=name))


def test_an_issuer_that_can_sign_is_accepted(client: kubernetes.client.ApiClient) -> None:
    require_issuer(client, settings())
    create(client, ObjectKey("pca.example.com/v1", "PrivateIssuer", "private"))
    require_issuer(client, settings(kind="PrivateIssuer", group="pca.example.com"))


def test_an_authority_that_has_ended_is_refused(client: kubernetes.client.ApiClient) -> None:
    later = datetime(2046, 2, 1, tzinfo=UTC).timestamp()
    with pytest.raises(DeployError, match="authority ended on Jan  1 00:00:00 2046 GMT; nothing was changed"):
        require_issuer(client, settings(), now=later)


def test_an_authority_that_has_not_signed_what_the_servers_have_is_refused(client: kubernetes.client.ApiClient) -> None:
    create_secret(client, _THEIRS)
    try:
        require_issuer(client, settings())
        require_issuer(client, settings(_OTHER.certificate + _THEIRS.certificate))
        with pytest.raises(DeployError, match="has signed the certificates in postgres-issued"):
            require_issuer(client, settings(_OTHER.certificate))
        # Another issuer signs them again.
        create(client, _ISSUER._replace(name="new"), _READY)
        require_issuer(client, settings(_OTHER.certificate, name="new"))
    finally:
        kubernetes.client.CoreV1Api(client).delete_namespaced_secret(_CERTIFICATE.name, _NAMESPACE)


def test_a_deployment_waits_for_a_certificate_that_clients_trust(client: kubernetes.client.ApiClient) -> None:
    names = frozenset({_CERTIFICATE.name})
    trusting, other = (Certificates(names=names, authority=item.certificate) for item in (_THEIRS, _OTHER))
    (state,) = trusting.unready(client, _NAMESPACE).values()
    assert not state.cannot_start
    create(client, _CERTIFICATE, _READY, namespaced=True)
    create_secret(client, _THEIRS)
    assert trusting.unready(client, _NAMESPACE) == {}
    ((name, state),) = other.unready(client, _NAMESPACE).items()
    assert name == "certificate postgres-issued"
    assert state.cannot_start
    # It is no longer declared.
    progress: list[str] = []
    prune(Objects(client, _NAMESPACE), [_CERTIFICATE], progress.append)
    assert progress == ["pruned certificate/postgres-issued"]
    assert Objects(client, _NAMESPACE).get(ObjectKey("v1", "Secret", _CERTIFICATE.name)) is None
