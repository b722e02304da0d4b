"""How the task-manager reaches the database."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

import pulumi
import pulumi_kubernetes as k8s

from stack.components.shared.storage import Storage

CA_FOLDER: Final = "/etc/postgres-ca"
CA_FILE: Final = "ca.crt"
_PUBLIC_AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Debian's file, in the image of the services."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The role that owns the tables, where the task-manager's own role may not change them."""

    url: pulumi.Input[str]
    """SQLAlchemy URL without the password."""
    password: k8s.core.v1.EnvVarArgs
    """The variable PGPASSWORD."""


@dataclass(frozen=True, kw_only=True)
class DatabaseAccess:
    """Address and credentials."""

    url: pulumi.Input[str]
    """SQLAlchemy URL without the password."""
    password: k8s.core.v1.EnvVarArgs
    """The variable PGPASSWORD, which the driver reads by itself, so that no URL that might be logged has it."""
    storage: Storage = field(default_factory=Storage)
    """Has the certificate of the servers' authority, if it is not a public one."""
    owner: Owner | None = None
    """If set, it migrates before each start; if not, the task-manager migrates as its own role."""


def verified_url(hosts: Sequence[str], database: str, username: str, *, own_ca: bool) -> str:
    """Return the URL of servers with TLS, of which the client uses the one that accepts writes.

    Args:
        hosts: host:port of each server.
        database: its name.
        username: of the role.
        own_ca: whether the authority is in a file of its own; if not, it is a public one.
    """
    parameters = [
        *(("host", host) for host in hosts),
        ("target_session_attrs", "read-write"),
        ("sslmode", "verify-full"),
        ("sslrootcert", f"{CA_FOLDER}/{CA_FILE}" if own_ca else _PUBLIC_AUTHORITIES),
    ]
    return f"postgresql+psycopg://{username}@/{database}?{urlencode(parameters, safe=':/')}"
