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
AUTHORITY_FILE: Final = "peers-ca.crt"
"""Name of the file with the authority's certificate, in the folder of the program's configuration. Programs read it at
their start alone, so pods are replaced when it changes."""


@dataclass(frozen=True, kw_only=True)
class PeerTls:
    """Paths of the files, and the name that the certificate is for."""

    name: str
    authority: str
    certificate: str = f"{FOLDER}/{CERTIFICATE_FILE}"
    key: str = f"{FOLDER}/{KEY_FILE}"


def secret_files(secret: pulumi.Input[str]) -> dict[str, SecretFiles]:
    """Return what a pod mounts of the Secret of its certificate."""
    keys = {key: key for key in (CERTIFICATE_FILE, KEY_FILE, COMBINED_FILE)}
    return {FOLDER: SecretFiles(secret=secret, keys=keys)}
