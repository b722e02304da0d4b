"""What a component gets if its connections are encrypted."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from contracts import endpoints
from stack.components.encryption import peers
from stack.components.encryption.issuers import Issuers
from stack.components.encryption.server import ServerCertificate, ServerCertificateArgs, Subject
from stack.components.encryption.settings import EncryptionStep


@dataclass(frozen=True, kw_only=True)
class Protection:
    """What the pods and the clients of encrypted programs need."""

    namespace: str
    """Of the stack."""
    secret: pulumi.Input[str]
    """Name of the stack's Secret, which has the tokens."""
    issuers: Issuers
    authority: pulumi.Output[str]
    """What clients verify the servers' certificates with, as PEM."""
    step: EncryptionStep
    """Whether servers take connections in clear as well, and whether clients use TLS."""
    needs_token: bool = True
    """Whether callers need a token of the telemetry; otherwise the programs themselves know their callers."""

    def certificate(self, server: str, component: str, hosts: Sequence[str], parent: pulumi.ResourceOptions) -> str:
        """Create the certificate of a workload, and return the name of its Secret.

        Args:
            server: name of the workload.
            component: value of its label.
            hosts: further names by which clients reach it.
            parent: options of the resource.
        """
        issuer, names = self.issuers.servers, [*_names(server, self.namespace), *hosts]
        subject = Subject(namespace=self.namespace, server=server, component=component, hosts=names)
        ServerCertificate(f"{server}-certificate", ServerCertificateArgs(subject=subject, issuer=issuer), parent)
        return issuer.secret_name(server)

    def peers(self, group: str, component: str, folder: str, parent: pulumi.ResourceOptions) -> peers.Peers:
        """Create the certificate by which the pods of one program know each other, and return what they get.

        Args:
            group: name of the program, and the name that the certificate is for.
            component: value of its label.
            folder: mount path of its configuration.
            parent: options of the resource.
        """
        server = peers.peers_name(group)
        subject = Subject(namespace=self.namespace, server=server, component=component, hosts=[group], is_client=True)
        args = ServerCertificateArgs(subject=subject, issuer=self.issuers.callers.of_group(server))
        certificate = ServerCertificate(f"{server}-certificate", args, parent)
        return peers.Peers(
            tls=peers.PeerTls(name=group, authority=f"{folder}/{peers.AUTHORITY_FILE}"),
            authority=certificate.authority,
            secret=certificate.secret,
        )


def _names(server: str, namespace: str) -> tuple[str, ...]:
    headless = endpoints.pods(server)
    return (
        server,
        f"{server}.{namespace}",
        f"{server}.{namespace}.svc",
        f"{server}.{namespace}.svc.cluster.local",
        headless,
        endpoints.SCRAPED,
    )
