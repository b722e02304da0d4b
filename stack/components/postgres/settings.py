"""The section `postgres` of the settings."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from contracts import secret_keys
from contracts.addresses import BaseAddress, HostAndPort
from contracts.section import FromList, ImageReference, Section
from stack.components.postgres.database import DATABASE, ROLE
from stack.components.shared.settings import Pem, Stateful

_Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$", examples=["tasks"])]


class ExternalPostgres(Section):
    """A PostgreSQL that the stack did not build. TLS is required, and the server's name is verified."""

    hosts: Annotated[tuple[HostAndPort, ...], FromList, Field(min_length=1)]
    """host:port of each server: clients use the one that accepts writes, and after a failover the new one."""
    database: _Name = DATABASE
    """Database of the tasks, which must exist."""
    username: _Name = ROLE
    """Role that may create tables in it; its password is the secret `postgresExternalPassword`."""
    ca: Pem | None = None
    """Authority that signed the servers' certificates, as PEM; the public ones if unset."""


class Backup(Section):
    """Base backups and the write-ahead log in a bucket, by CloudNativePG's Barman Cloud plugin.

    The access keys are the secrets `objectStorageAccessKey` and `objectStorageSecretKey`.
    """

    destination: Annotated[
        str,
        Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._-]+)*$", examples=["s3://backups/tracing"]),
    ]
    """Bucket and folder, such as `s3://backups/tracing`."""
    endpoint: BaseAddress | None = None
    """URL of the S3 API; AWS if unset."""
    schedule: Annotated[str, Field(pattern=r"^\S+( \S+){5}$", examples=["0 0 3 * * *"])] = "0 0 3 * * *"
    """When a base backup is made: seconds, minutes, hours, days, months, days of the week."""
    days: Annotated[int, Field(ge=1, le=3660)] = 30
    """Days back to which the database can be restored."""


class CloudNativePg(Section):
    """A `Cluster` object of CloudNativePG, whose operator the Kubernetes cluster must have."""

    instances: Annotated[int, Field(ge=3, le=9)] = 3
    """Servers: one primary, the others standbys. A commit waits for one standby, so a lost server loses no task."""
    image: ImageReference | None = None
    """Image of PostgreSQL for CloudNativePG; the operator's default if unset, which changes with the operator."""
    backup: Backup | None = None
    """No backups if unset."""


class Postgres(Stateful):
    """The database of the tasks: one server that the stack builds, unless one of the two sections is set."""

    external: ExternalPostgres | None = None
    """A PostgreSQL that you run or rent. If set, the stack builds none, and ignores `cpu`, `memory` and `volume`. Not
    checked: whether a committed task survives a failover, backups, and their restore."""
    cloudnativepg: CloudNativePg | None = None
    """Several servers by CloudNativePG; `cpu`, `memory` and `volume` are those of each."""

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """Keys of the secrets that the database needs."""
        if self.external:
            return (secret_keys.POSTGRES_EXTERNAL_PASSWORD,)
        if self.cloudnativepg and self.cloudnativepg.backup:
            return (secret_keys.OBJECT_STORAGE_ACCESS_KEY, secret_keys.OBJECT_STORAGE_SECRET_KEY)
        return ()

    @model_validator(mode="after")
    def _check_one_kind(self) -> Self:
        if self.external and self.cloudnativepg:
            raise ValueError("external and cloudnativepg exclude each other: the tasks have one database")
        return self
