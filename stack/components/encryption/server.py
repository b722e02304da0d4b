"""The certificate of one server, as a Secret that its pods mount."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import pulumi

CERTIFICATE_FILE: Final = "tls.crt"
KEY_FILE: Final = "tls.key"
COMBINED_FILE: Final = "tls-combined.pem"
"""The key and then the certificate, as Kafka's brokers read them; the name that cert-manager gives such a file."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a certificate is for."""

    namespace: pulumi.Input[str]
    server: str
    """Name of the server's workload."""
    component: str
    """Value of its label `app.kubernetes.io/component`."""
    hosts: Sequence[str]
    """DNS names by which clients reach it, and IP addresses."""
    is_client: bool = False
    """Whether it is a client of servers that ask for a certificate."""


class Issuer(Protocol):
    """Signs certificates."""

    @property
    def title(self) -> str:
        """Who signs, for a comparison of two deployments."""
        ...

    @property
    def authority(self) -> pulumi.Output[str]:
        """What clients verify the certificates with, as PEM."""
        ...

    def secret_name(self, server: str) -> str:
        """Return the name of the Secret with the certificate of a workload."""
        ...

    def issue(self, subject: Subject, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
        """Create what the certificate's Secret comes from; return the name of the Secret."""
        ...


@dataclass(frozen=True, kw_only=True)
class ServerCertificateArgs:
    subject: Subject
    issuer: Issuer


class ServerCertificate(pulumi.ComponentResource):
    """A certificate. The files in the pods follow when it is renewed."""

    secret: pulumi.Output[str]
    """Name of the Secret, which has `CERTIFICATE_FILE`, `KEY_FILE` and `COMBINED_FILE`."""
    authority: pulumi.Output[str]
    """What clients verify it with, as PEM."""

    def __init__(self, name: str, args: ServerCertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:ServerCertificate", name, None, opts)
        self.secret = args.issuer.issue(args.subject, pulumi.ResourceOptions(parent=self))
        self.authority = args.issuer.authority
        self.register_outputs({"secret": self.secret, "authority": self.authority})
