"""Object storage: the settings of a bucket with the API of S3, Google Cloud Storage or Azure.

Its secrets are shared: one identity reads and writes all buckets of a stack.
"""

from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from contracts import secret_keys
from contracts.addresses import HOST, check_port
from contracts.section import Annotations, Section
from stack.components.shared.settings import Pem

CA_FILE: Final = "object-storage-ca.pem"
"""Name of the file with the authority that signed the storage's certificate, next to the configuration."""
AZURE_KEY_VARIABLE: Final = "AZURE_STORAGE_KEY"
"""The variable with the account's key."""
HTTPS_PORT: Final = 443

_AZURE_POD_LABELS: Final = {"azure.workload.identity/use": "true"}
"""Without it, Azure gives a pod no identity."""


class S3(Section):
    """A bucket with an S3 API. Its secrets: `objectStorageAccessKey`, `objectStorageSecretKey`."""

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", examples=["example-traces"])]
    """Name of the bucket, which must exist."""
    endpoint: Annotated[
        str,
        Field(pattern=rf"^{HOST}(:\d{{1,5}})?$", examples=["s3.eu-central-1.amazonaws.com"]),
        AfterValidator(lambda text: check_port(text) if ":" in text else text),
    ]
    """Host name, with a port if it is not the default one; no scheme."""
    region: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$", examples=["eu-central-1"])] | None = None
    """Region, if the endpoint does not contain it."""
    force_path_style: bool = False
    """If on, the bucket is in the path of URLs and not in their host name: for most servers other than AWS."""
    ca: Pem | None = None
    """Authority that signed the server's certificate, as PEM; the public ones if unset."""
    insecure: bool = False
    """Whether to use HTTP instead of HTTPS."""

    @property
    def port(self) -> int:
        """TCP port of the endpoint."""
        _, _, port = self.endpoint.partition(":")
        return int(port) if port else 80 if self.insecure else HTTPS_PORT

    @model_validator(mode="after")
    def _check_authority_is_used(self) -> Self:
        if self.insecure and self.ca:
            raise ValueError("ca: nothing is verified without TLS (insecure: true)")
        return self


class Gcs(Section):
    """A bucket of Google Cloud Storage. Its secret: `objectStorageServiceAccount`."""

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", examples=["example-traces"])]
    """Name of the bucket, which must exist."""


class Azure(Section):
    """A container of Azure Blob Storage. Its secret: `objectStorageAccountKey`."""

    account: Annotated[str, Field(pattern=r"^[a-z0-9]{3,24}$", examples=["exampleaccount"])]
    """Name of the storage account."""
    container: Annotated[str, Field(pattern=r"^[a-z0-9](-?[a-z0-9]){2,62}$", examples=["traces"])]
    """Name of the container, which must exist."""
    endpoint: Annotated[str, Field(pattern=r"^blob\.[a-z0-9.-]+$")] = "blob.core.windows.net"
    """Host name without the account."""


class ObjectStorage(Section):
    """A bucket: exactly one of `s3`, `gcs` and `azure`."""

    s3: S3 | None = None
    gcs: Gcs | None = None
    azure: Azure | None = None
    prefix: Annotated[str, Field(pattern=r"^([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?$", examples=["tempo"])] = ""
    """Folder in the bucket, so that several stacks can share the bucket."""
    identity: Annotated[
        Annotations | None, Field(examples=[{"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r"}])
    ] = None
    """Annotations of the pods' ServiceAccounts, with which the cloud grants them access. If set, the pods have the
    identity that the cloud gives them; `{}` is one without annotations. If unset, secrets of the stack are used."""

    @model_validator(mode="after")
    def _check_there_is_one(self) -> Self:
        if sum(bucket is not None for bucket in (self.s3, self.gcs, self.azure)) != 1:
            raise ValueError("needs exactly one of s3, gcs and azure")
        return self

    @property
    def port(self) -> int:
        """TCP port that its clients connect to."""
        return self.s3.port if self.s3 else HTTPS_PORT


def needed_secrets(storage: ObjectStorage | None) -> tuple[str, ...]:
    """Return the keys of the secrets that the clients of a bucket need."""
    if storage is None or storage.identity is not None:
        return ()
    if storage.gcs:
        return (secret_keys.OBJECT_STORAGE_SERVICE_ACCOUNT,)
    if storage.azure:
        return (secret_keys.OBJECT_STORAGE_ACCOUNT_KEY,)
    return (secret_keys.OBJECT_STORAGE_ACCESS_KEY, secret_keys.OBJECT_STORAGE_SECRET_KEY)


def storage_files(storage: ObjectStorage | None) -> dict[str, str]:
    """Return the files that a client's configuration refers to, for its ConfigMap."""
    return {CA_FILE: storage.s3.ca} if storage and storage.s3 and storage.s3.ca else {}


def identity_annotations(storage: ObjectStorage | None) -> dict[str, str]:
    """Return the annotations of the ServiceAccount of a client."""
    return dict(storage.identity or {}) if storage else {}


def identity_labels(storage: ObjectStorage | None) -> dict[str, str]:
    """Return the labels that the pods of a client need to get their identity."""
    return _AZURE_POD_LABELS if storage and storage.azure and storage.identity is not None else {}
