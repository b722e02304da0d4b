"""Finds secrets that no server would accept, or that are easily guessed, before anything is changed.

A value is never part of a message.
"""

import re
from typing import Final

from contracts import secret_keys

_DOCUMENTS: Final = frozenset({secret_keys.OBJECT_STORAGE_SERVICE_ACCOUNT})
"""Secrets that are files of several lines."""
_HEADERS: Final = frozenset(
    {
        secret_keys.TRACES_AUTHORIZATION,
        secret_keys.TRACES_QUERY_AUTHORIZATION,
        secret_keys.LOGS_AUTHORIZATION,
        secret_keys.LOGS_QUERY_AUTHORIZATION,
        secret_keys.METRICS_QUERY_AUTHORIZATION,
        secret_keys.METRICS_WRITE_TOKEN,
        secret_keys.GRAFANA_TOKEN,
    }
)
_PLAIN: Final = frozenset(
    {
        secret_keys.POSTGRES_PASSWORD,
        secret_keys.POSTGRES_SERVICE_PASSWORD,
        *secret_keys.KAFKA_USER_PASSWORD.values(),
    }
)
"""Passwords that become part of a statement or of a configuration."""
_SEED_CHARACTERS: Final = 16
"""All see the certificate of the authority, and can test guesses of the seed with it on their own machine."""
_REFERENCE: Final = re.compile(r"\$\{\w+\}")
"""What manifests for GitOps have in the place of a secret."""


def is_reference(value: str) -> bool:
    """Return whether a value stands for a secret in manifests."""
    return _REFERENCE.fullmatch(value) is not None


def problem_of(key: str, value: str) -> str | None:
    """Return what is wrong with the value of a secret; None if nothing is.

    Args:
        key: one of `secret_keys.ALL`.
        value: its value, or a reference.
    """
    if is_reference(value):
        return None
    if not value.strip():
        return "is empty"
    if key in _DOCUMENTS:
        return None
    if value != value.strip() or not value.isprintable():
        return "has a line break, another control character, or a space at an end"
    if key in _HEADERS and not value.isascii():
        return "is sent in a header of HTTP, and has characters other than ASCII"
    if key == secret_keys.KAFKA_PASSWORD and {'"', "\\"} & {*value}:
        return "has a quotation mark or a backslash, which the configuration of Kafka's clients cannot hold"
    if key in _PLAIN and not re.fullmatch(r"[A-Za-z0-9_-]+", value):
        return "has characters other than letters, digits, `-` and `_`"
    if key == secret_keys.AUTHORITY_SEED and (len(value) < _SEED_CHARACTERS or value.startswith("${")):
        return f"is no seed: at least {_SEED_CHARACTERS} random characters, such as those of `openssl rand -hex 24`"
    return None
