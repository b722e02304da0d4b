"""TLS among the pods of one program: each verifies the certificate of the other.

The pods have one certificate, of an authority that issues no other. So no other certificate of the stack opens the
ports on which they talk to each other, and theirs opens nothing else.
"""

from dataclasses import dataclass
from typing import Final

import pulumi

from stack.components.encryption.server import CERTIFICATE_FILE, COMBINED_FILE, KEY_FILE
from stack.components.shared.storage import SecretFiles

FOLDER: Final = "/etc/peers"
"""Mount path of the certificate."""
_SUFFIX: Final = "-peers"
AUTHORITY_FILE: Final = "peers-ca.crt"
"""Name of the file with the authority's certificate, in the folder of the program's configuration. Programs read it at
their start alone, so pods are replaced when it changes."""


def peers_name(group: str) -> str:
    """Return the name of the certificate that the pods of a program have, and of its authority."""
    return f"{group}{_SUFFIX}"


def authority_group(server: str) -> str | None:
    """Return the group whose authority issues a certificate of this name; None for the stack's own authority."""
    return server if server.endswith(_SUFFIX) else None


@dataclass(frozen=True, kw_only=True)
class ProxiedPeers:
    """A port on which the proxy takes the connections of peers: the program asks them for no certificate."""

    port: int
    authority: pulumi.Input[str]
    """Certificate of the authority, as PEM."""


@dataclass(frozen=True, kw_only=True)
class PeerTls:
    """Paths of the files, and the name that the certificate is for."""

    name: str
    authority: str
    certificate: str = f"{FOLDER}/{CERTIFICATE_FILE}"
    key: str = f"{FOLDER}/{KEY_FILE}"


@dataclass(frozen=True, kw_only=True)
class Peers:
    """What pods get to know each other."""

    tls: PeerTls
    """For the configuration of the program."""
    authority: pulumi.Input[str]
    """Certificate of the authority, as PEM."""
    secret: pulumi.Input[str]
    """Name of the Secret with the certificate of the pods."""

    @property
    def files(self) -> dict[str, pulumi.Input[str]]:
        """What the folder of the program's configuration has in addition."""
        return {AUTHORITY_FILE: self.authority}

    @property
    def secrets(self) -> dict[str, SecretFiles]:
        """What the pods mount in addition."""
        keys = {key: key for key in (CERTIFICATE_FILE, KEY_FILE, COMBINED_FILE)}
        return {FOLDER: SecretFiles(secret=self.secret, keys=keys)}

    def through_proxy(self, port: int) -> ProxiedPeers:
        """Return a port that the proxy opens to the pods."""
        return ProxiedPeers(port=port, authority=self.authority)
