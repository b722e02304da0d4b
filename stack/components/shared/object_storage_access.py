"""How the clients of a bucket get the secrets that give them access: as variables or as files."""

from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import secret_keys
from stack.components.shared.environment import secret_variable, variables
from stack.components.shared.object_storage import AZURE_KEY_VARIABLE, ObjectStorage, needed_secrets
from stack.components.shared.storage import SecretFiles

_GCS_FOLDER: Final = "/etc/object-storage"
_GCS_FILE: Final = "service-account.json"
_VARIABLES: Final = {
    secret_keys.OBJECT_STORAGE_ACCESS_KEY: "AWS_ACCESS_KEY_ID",
    secret_keys.OBJECT_STORAGE_SECRET_KEY: "AWS_SECRET_ACCESS_KEY",
    secret_keys.OBJECT_STORAGE_ACCOUNT_KEY: AZURE_KEY_VARIABLE,
}
"""The variables that the clients of S3 and Azure read first, by the secret in them."""


def storage_variables(storage: ObjectStorage | None, secret: pulumi.Input[str]) -> list[k8s.core.v1.EnvVarArgs]:
    """Return the variables with which a client gets access to a bucket."""
    keys = needed_secrets(storage)
    if secret_keys.OBJECT_STORAGE_SERVICE_ACCOUNT in keys:
        return variables(GOOGLE_APPLICATION_CREDENTIALS=f"{_GCS_FOLDER}/{_GCS_FILE}")
    return [secret_variable(_VARIABLES[key], key, secret) for key in keys]


def storage_secret_files(storage: ObjectStorage | None, secret: pulumi.Input[str]) -> dict[str, SecretFiles]:
    """Return the secrets that a client reads as files: mount path → files."""
    key = secret_keys.OBJECT_STORAGE_SERVICE_ACCOUNT
    if key not in needed_secrets(storage):
        return {}
    return {_GCS_FOLDER: SecretFiles(secret=secret, keys={key: _GCS_FILE})}
