"""Who may call the gateway: the roles, and why a request is refused."""

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a caller may read. Each may submit tasks."""

    USER = "user"
    """The tasks that the caller submitted."""
    OPERATOR = "operator"
    """All tasks, without the e-mail addresses of other callers' tasks."""
    SUPPORT = "support"
    """All tasks, with all addresses."""


class Refusal(StrEnum):
    """Why a request was refused: the label `reason` of a metric, and an attribute of the request's span."""

    MISSING = "missing"
    """No credential."""
    MALFORMED = "malformed"
    """The header is no bearer credential, or the token cannot be read."""
    UNKNOWN = "unknown"
    """The credential is no API key that the gateway knows, and no token."""
    ALGORITHM = "algorithm"
    """The token is signed with an algorithm that is not allowed, or with none."""
    SIGNING_KEY = "signing_key"
    """The issuer does not publish the key that the token names."""
    SIGNATURE = "signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    CLAIMS = "claims"
    """A claim is missing or has another form."""
    RATE = "rate"
    """The caller sent too many requests."""
    CONCURRENCY = "concurrency"
    """Too many requests of the caller are in progress."""


NAME: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
"""Pattern of the name of an API key's caller."""
HASH: Final = r"[0-9a-f]{64}"
"""Pattern of the SHA-256 of an API key."""
STACK_CALLER: Final = "stack"
"""Name of the API key of the stack's own programs: the probe, smoke checks, the checks' load."""


def owner_of_key(name: str) -> str:
    """Returns the owner of the tasks that the caller with an API key submits."""
    return f"key:{name}"
