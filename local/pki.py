"""The cluster's keys and certificates, and the kubeconfigs that contain them."""

import base64
import datetime
import ipaddress
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from contracts.metadata import LOCAL_CONTEXT
from local.layout import API_PORT, GATEWAY, SERVICE_API
from local.nodes import ALL_NODES, Node

VALID = datetime.timedelta(days=365)
RENEW_BEFORE = datetime.timedelta(days=30)


@dataclass(frozen=True)
class Identity:
    """The subject of a certificate. Kubernetes takes the user from `name` and the groups from `groups`."""

    file: str
    name: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


def kubelet_identity(node: Node) -> Identity:
    """The kubelet of a node, as a client of the API server and as a server."""
    return Identity(
        f"kubelet-{node.name}",
        f"system:node:{node.name}",
        groups=("system:nodes",),
        hosts=(node.name, node.address, "127.0.0.1"),
    )


API_HOSTS = (GATEWAY, SERVICE_API, "127.0.0.1", "localhost", "kubernetes.default.svc", "kubernetes.default")
IDENTITIES = (
    Identity("apiserver", "kube-apiserver", hosts=API_HOSTS),
    Identity("apiserver-kubelet-client", "kube-apiserver-kubelet-client", groups=("system:masters",)),
    Identity("admin", "admin", groups=("system:masters",)),
    # The CA's key is not kept, so nodes that are added later have their certificates from the start.
    *(kubelet_identity(node) for node in ALL_NODES),
    Identity("controllers", "system:kube-controller-manager"),
    Identity("scheduler", "system:kube-scheduler"),
    Identity("proxy", "system:kube-proxy"),
    Identity("dns", "system:coredns"),
)


def is_usable(directory: Path) -> bool:
    """Whether all keys and certificates exist, and are valid for longer than RENEW_BEFORE."""
    certificates = [directory / f"{identity.file}.crt" for identity in IDENTITIES]
    if not all(path.exists() for path in [*certificates, directory / "ca.crt", directory / "sa.key"]):
        return False
    soon = datetime.datetime.now(datetime.UTC) + RENEW_BEFORE
    return x509.load_pem_x509_certificate((directory / "ca.crt").read_bytes()).not_valid_after_utc > soon


def create(directory: Path) -> None:
    """Writes the CA, the key of service accounts and a certificate for each identity: all of them, or nothing."""
    unfinished = directory.with_name(f".{directory.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True, mode=0o700)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key)
    _write_certificate(unfinished / "ca.crt", authority)
    for identity in IDENTITIES:
        key = ec.generate_private_key(ec.SECP256R1())
        _write_key(unfinished / f"{identity.file}.key", key)
        _write_certificate(unfinished / f"{identity.file}.crt", _certificate(identity, key, authority, authority_key))
    service_accounts = ec.generate_private_key(ec.SECP256R1())
    _write_key(unfinished / "sa.key", service_accounts)
    (unfinished / "sa.pub").write_bytes(
        service_accounts.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    shutil.rmtree(directory, ignore_errors=True)
    unfinished.rename(directory)


def kubeconfig(directory: Path, file: str) -> str:
    """A kubeconfig for an identity, in JSON, which is YAML. It contains the certificates, so a copy works elsewhere."""

    def inline(name: str) -> str:
        return base64.b64encode((directory / name).read_bytes()).decode()

    cluster = {"server": f"https://{GATEWAY}:{API_PORT}", "certificate-authority-data": inline("ca.crt")}
    user = {"client-certificate-data": inline(f"{file}.crt"), "client-key-data": inline(f"{file}.key")}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": LOCAL_CONTEXT, "cluster": cluster}],
        "users": [{"name": file, "user": user}],
        "contexts": [{"name": LOCAL_CONTEXT, "context": {"cluster": LOCAL_CONTEXT, "user": file}}],
        "current-context": LOCAL_CONTEXT,
    }
    return json.dumps(document, indent=1) + "\n"


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web-crawl-tracing local cluster")])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def _certificate(
    identity: Identity,
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in identity.groups]
    subject = x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, identity.name)])
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if identity.hosts:
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    builder = (
        _builder(subject, authority.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    if identity.hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(_hosts(identity.hosts)), critical=False)
    return builder.sign(authority_key, hashes.SHA256())


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + VALID)
    )


def _hosts(hosts: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
