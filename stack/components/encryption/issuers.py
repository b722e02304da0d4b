"""Who issues the certificates of a stack."""

from dataclasses import dataclass

import pulumi

from stack.components.encryption.cert_manager import CertManager
from stack.components.encryption.own_authority import OwnAuthority
from stack.components.encryption.server import Issuer
from stack.components.encryption.settings import Encryption


@dataclass(frozen=True, kw_only=True)
class Certified:
    """A certificate of the stack."""

    name: str
    """Of its server, or of what else it is for."""
    secret: str
    """Name of its Secret."""
    is_issued: bool = False
    """Whether cert-manager makes the Secret."""


@dataclass(frozen=True, kw_only=True)
class Issuers:
    """The issuers of the certificates of one stack, by what these prove."""

    servers: Issuer
    """Of certificates by which clients know that they reached a server."""
    callers: OwnAuthority
    """Of certificates by which a program knows who calls it: their authority issues none for others."""

    @property
    def is_one(self) -> bool:
        """Whether one authority issues all of them."""
        return self.servers is self.callers


def issuers_of(settings: Encryption, seed: pulumi.Output[str]) -> Issuers:
    """Return the issuers that the settings name.

    Args:
        settings: of the encryption.
        seed: from which the stack's own authority is derived.
    """
    own = OwnAuthority(seed=seed)
    return Issuers(servers=CertManager(settings=settings.issuer) if settings.issuer else own, callers=own)
