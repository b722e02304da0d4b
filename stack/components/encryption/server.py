"""The certificate of one server, as a Secret that its pods mount."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from stack.components.encryption.authority import Authority, Certificate
from stack.components.shared.object_meta import object_meta

CERTIFICATE_FILE: Final = "tls.crt"
KEY_FILE: Final = "tls.key"
COMBINED_FILE: Final = "tls-combined.pem"
"""The key and then the certificate, as Kafka's brokers read them; the name that cert-manager gives such a file."""
_REFERENCE: Final = "${"
"""A value that begins so stands for a secret in manifests to be reviewed. All would know keys derived from it."""


@dataclass(frozen=True, kw_only=True)
class ServerCertificateArgs:
    namespace: pulumi.Input[str]
    server: str
    """Name of the server's workload."""
    component: str
    """Value of its label `app.kubernetes.io/component`."""
    hosts: Sequence[str]
    """DNS names by which clients reach it, and IP addresses."""
    is_client: bool = False
    """Whether it is a client of servers that ask for a certificate."""
    group: str | None = None
    """Of servers that trust no certificate but those of each other: an authority of their own issues them."""
    seed: pulumi.Output[str]
    """From which the stack's authority is derived."""


class ServerCertificate(pulumi.ComponentResource):
    """A Secret with a certificate of the stack's authority, or of its group's. Its files follow when it is renewed."""

    secret: pulumi.Output[str]
    """Name of the Secret; its keys are `CERTIFICATE_FILE`, `KEY_FILE` and `COMBINED_FILE`."""
    authority: pulumi.Output[str]
    """Certificate of the authority, as PEM."""

    def __init__(self, name: str, args: ServerCertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:ServerCertificate", name, None, opts)
        files = args.seed.apply(lambda seed: _files(seed, args))
        secret_name = certificate_secret(args.server)
        secret = k8s.core.v1.Secret(
            secret_name,
            metadata=object_meta(secret_name, args.namespace, component=args.component),
            type="kubernetes.io/tls",
            string_data=files,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.secret = secret.metadata.name
        self.authority = pulumi.Output.unsecret(args.seed.apply(lambda seed: authority_certificate(seed, args.group)))
        self.register_outputs({"secret": self.secret, "authority": self.authority})


def certificate_secret(server: str) -> str:
    """Return the name of the Secret with the certificate of a workload."""
    return f"{server}-certificate"


def certificate_files(certificate: Certificate) -> dict[str, str]:
    """Return the content of the Secret of a certificate."""
    return {
        CERTIFICATE_FILE: certificate.certificate,
        KEY_FILE: certificate.key,
        COMBINED_FILE: certificate.combined,
    }


def _files(seed: str, args: ServerCertificateArgs) -> dict[str, str]:
    if _is_reference(seed):
        files = (CERTIFICATE_FILE, KEY_FILE, COMBINED_FILE)
        return {file: f"${{{file} of {args.server}}}" for file in files}
    authority = Authority(seed, args.group)
    return certificate_files(authority.issue(args.server, args.hosts, datetime.now(UTC), is_client=args.is_client))


def authority_certificate(seed: str, group: str | None = None) -> str:
    """Return the certificate of an authority, as PEM; of manifests to be reviewed, a text in its place."""
    return "${certificate of the authority}" if _is_reference(seed) else Authority(seed, group).certificate


def _is_reference(seed: str) -> bool:
    return seed.startswith(_REFERENCE)
