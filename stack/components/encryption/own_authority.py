"""The stack's own authority as the issuer of certificates: each deployment writes the Secrets."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Self

import pulumi
import pulumi_kubernetes as k8s

from stack.components.encryption.authority import Authority, Certificate
from stack.components.encryption.server import CERTIFICATE_FILE, COMBINED_FILE, KEY_FILE, Subject
from stack.components.shared.object_meta import object_meta

OWN_TITLE: Final = "authoritySeed"
"""The secret from which the authority is derived stands for it."""
_REFERENCE: Final = "${"
"""A value that begins so stands for a secret in manifests to be reviewed. All would know keys derived from it."""


@dataclass(frozen=True, kw_only=True)
class OwnAuthority:
    """The authority of the stack, or one that issues the certificates of a group alone."""

    seed: pulumi.Output[str]
    """From which it is derived."""
    group: str | None = None
    """Of servers that trust no certificate but those of each other; None for the authority of the stack."""

    @property
    def title(self) -> str:
        """That no other issuer signs."""
        return OWN_TITLE

    def of_group(self, group: str) -> Self:
        """Return the authority of servers that trust no certificate but those of each other."""
        return replace(self, group=group)

    @property
    def authority(self) -> pulumi.Output[str]:
        """Its certificate, as PEM."""
        return pulumi.Output.unsecret(self.seed.apply(lambda seed: _authority(seed, self.group)))

    def secret_name(self, server: str) -> str:
        """Return the name of the Secret with the certificate of a workload."""
        return certificate_secret(server)

    def issue(self, subject: Subject, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
        """Create the Secret, and return its name."""
        name = certificate_secret(subject.server)
        secret = k8s.core.v1.Secret(
            name,
            metadata=object_meta(name, subject.namespace, component=subject.component),
            type="kubernetes.io/tls",
            string_data=self.seed.apply(lambda seed: _files(seed, self.group, subject)),
            opts=opts,
        )
        return secret.metadata.name


def certificate_secret(server: str) -> str:
    """Return the name of the Secret with the certificate that the stack's own authority issues to a workload."""
    return f"{server}-certificate"


def certificate_files(certificate: Certificate) -> dict[str, str]:
    """Return the content of the Secret of a certificate."""
    return {
        CERTIFICATE_FILE: certificate.certificate,
        KEY_FILE: certificate.key,
        COMBINED_FILE: certificate.combined,
    }


def _files(seed: str, group: str | None, subject: Subject) -> dict[str, str]:
    if _is_reference(seed):
        return {file: f"${{{file} of {subject.server}}}" for file in (CERTIFICATE_FILE, KEY_FILE, COMBINED_FILE)}
    issued = Authority(seed, group).issue(subject.server, subject.hosts, datetime.now(UTC), is_client=subject.is_client)
    return certificate_files(issued)


def _authority(seed: str, group: str | None) -> str:
    """Return the certificate of an authority, as PEM; of manifests to be reviewed, a text in its place."""
    return "${certificate of the authority}" if _is_reference(seed) else Authority(seed, group).certificate


def _is_reference(seed: str) -> bool:
    return seed.startswith(_REFERENCE)
