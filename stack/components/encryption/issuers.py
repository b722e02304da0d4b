"""Who issues the certificates of a stack."""

from dataclasses import dataclass

from stack.components.encryption.own_authority import OwnAuthority
from stack.components.encryption.server import Issuer


@dataclass(frozen=True, kw_only=True)
class Certified:
    """A certificate of the stack."""

    name: str
    """Of its server, or of what else it is for."""
    secret: str
    """Name of its Secret."""


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
