"""An issuer of cert-manager: the stack declares what it wants, and cert-manager writes and renews the Secret."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

import pulumi
import pulumi_kubernetes as k8s

from contracts.metadata import ISSUED, labels
from stack.components.encryption.server import Subject
from stack.components.encryption.settings import ExternalIssuer
from stack.components.shared.object_meta import object_meta

API_VERSION: Final = "cert-manager.io/v1"
KIND: Final = "Certificate"
_AWAITED: Final = {"pulumi.com/waitFor": "condition=Ready", "pulumi.com/timeoutSeconds": "300"}
"""Pulumi waits for objects of other operators only if they say so."""


@dataclass(frozen=True, kw_only=True)
class CertManager:
    """An issuer of cert-manager."""

    settings: ExternalIssuer

    @property
    def title(self) -> str:
        """Kind, group and name of the issuer."""
        return f"{self.settings.kind}.{self.settings.group}/{self.settings.name}"

    @property
    def authority(self) -> pulumi.Output[str]:
        """Certificates of the authorities, as PEM."""
        return pulumi.Output.from_input(self.settings.authority)

    def secret_name(self, server: str) -> str:
        """Return the name of the Secret with the certificate of a workload."""
        return issued_secret(server)

    def issue(self, subject: Subject, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
        """Create the `Certificate`, and return the name of the Secret that cert-manager makes of it."""
        name = issued_secret(subject.server)
        certificate = k8s.apiextensions.CustomResource(
            name,
            api_version=API_VERSION,
            kind=KIND,
            metadata=object_meta(name, subject.namespace, component=subject.component, annotations=_AWAITED),
            spec=certificate_spec(subject, self.settings),
            opts=opts,
        )
        # What uses the name waits for the object; a preview knows the name.
        return certificate.urn.apply(lambda _: name)


def issued_secret(server: str) -> str:
    """Return the name of the Secret, and of the `Certificate`, that cert-manager issues to a workload.

    It is another one than that of the stack's own authority: two owners of one Secret would overwrite each other while
    a deployment exchanges them.
    """
    return f"{server}-issued"


def certificate_spec(subject: Subject, issuer: ExternalIssuer) -> dict[str, Any]:
    """Return what the stack wants of cert-manager."""
    name, hosts = issued_secret(subject.server), list(dict.fromkeys(subject.hosts))
    addresses = [host for host in hosts if _is_address(host)]
    own = {key: value for key, value in labels(name, subject.component).items() if not key.endswith("managed-by")}
    return {
        "secretName": name,
        "secretTemplate": {"labels": {**own, **ISSUED}},
        "commonName": subject.server,
        "dnsNames": [host for host in hosts if host not in addresses],
        **({"ipAddresses": addresses} if addresses else {}),
        "usages": ["digital signature", "server auth", *(["client auth"] if subject.is_client else [])],
        # As the stack's own authority makes keys. Kafka and HAProxy read both from one file, whose key is PKCS #8.
        "privateKey": {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"},
        "additionalOutputFormats": [{"type": "CombinedPEM"}],
        "duration": f"{issuer.hours}h",
        "revisionHistoryLimit": 1,
        "issuerRef": {"name": issuer.name, "kind": issuer.kind, "group": issuer.group},
    }


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
