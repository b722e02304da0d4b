"""Parses and checks the values of settings, each in the form of OpenTelemetry's variables."""

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

# What gRPC sends as text. With any other name every request fails; `-bin` takes only bytes as its value.
_HEADER_NAME: Final = re.compile(r"(?!.*-bin$)[a-z0-9_.-]+", re.IGNORECASE)
# What HTTP/1.1 reads a request by, which the exporter writes itself; with a wrong one a request arrives in part.
_OF_THE_EXPORTER: Final = frozenset({"connection", "content-encoding", "content-length", "te", "transfer-encoding"})
_METHOD: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_KEY: Final = r"[A-Za-z0-9_./-]+\*?"
ATTRIBUTES_FILTER: Final = rf"^({_KEY}(,\s*{_KEY})*)?$"
"""Keys of attributes, separated by commas; a `*` at the end of one stands for any rest."""
_ENTRY: Final = r"[A-Za-z0-9_.-]+"
BAGGAGE_ENTRIES: Final = rf"^({_ENTRY}(,\s*{_ENTRY})*)?$"
"""Names of entries of baggage, separated by commas."""


def split_pairs(value: object) -> object:
    """A list of key=value, percent-encoded, as OTEL_RESOURCE_ATTRIBUTES and OTEL_EXPORTER_OTLP_HEADERS hold it."""
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if any(not separator or not key.strip() for key, separator, _ in pairs):
        raise ValueError("not a list of key=value")
    return {unquote(key.strip()): unquote(text.strip()) for key, _, text in pairs}


def check_headers(value: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
    """The headers with their names in lower case; ValueError if gRPC cannot send one."""
    for name, text in value.items():
        secret = text.get_secret_value()
        if (
            not _HEADER_NAME.fullmatch(name)
            or name.lower() in _OF_THE_EXPORTER
            or not secret.isascii()
            or not secret.isprintable()
        ):
            raise ValueError("not sendable as a header")
    return {name.lower(): text for name, text in value.items()}


def parse_standard_boolean(value: object) -> object:
    """As OpenTelemetry prescribes: "true" in any case is true, and every other text is false."""
    return value.strip().lower() == "true" if isinstance(value, str) else value


def is_boolean(value: str) -> bool:
    """Whether a text is `true` or `false`, in any case."""
    return value.strip().lower() in ("true", "false")


def lower(value: object) -> object:
    """A name out of a set in lower case: OpenTelemetry takes it in any."""
    return value.lower() if isinstance(value, str) else value


def split_list(value: str) -> tuple[str, ...]:
    """The items of a list with commas, each once."""
    return tuple(dict.fromkeys(item.strip() for item in value.split(",") if item.strip()))


def parse_propagators(value: object) -> object:
    """The names of propagators; `none` alone is no propagator."""
    if not isinstance(value, str):
        return value
    names = split_list(value.lower())
    return () if names == ("none",) else names


def parse_methods(value: object) -> object:
    """Methods of HTTP."""
    if not isinstance(value, str):
        return value
    names = split_list(value)
    if not all(map(_METHOD.fullmatch, names)):
        raise ValueError("not a list of HTTP methods")
    return names


def check_attributes_filter(value: str) -> str:
    """The filter as it is; ValueError that names the key that is wrong."""
    for key in split_list(value):
        if not re.fullmatch(_KEY, key):
            raise ValueError(f"{key!r} is not a key")
    return value


def check_baggage_entries(value: str) -> str:
    """The names as they are; ValueError that names the one that is wrong."""
    for name in split_list(value):
        if not re.fullmatch(_ENTRY, name):
            raise ValueError(f"{name!r} is not a name")
    return value


def check_certificates(value: Path) -> Path:
    """The path as it is; ValueError if it is not that of a PEM file with certificates."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=value)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ValueError(f"{type(error).__name__}: no certificate can be read from it") from None
    return value


def check_http_url(value: str) -> str:
    """The URL as it is; ValueError unless it is absolute, of http or https, with a host and a possible port."""
    parts = urlsplit(value)
    # Reading .port validates it: urlsplit accepts any text there.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("not an absolute http or https URL")
    return value


def check_endpoint(value: str) -> str:
    """The URL as it is; ValueError if no request can have its host, its path or its query."""
    parts = urlsplit(check_http_url(value))
    rest = parts.path + parts.query
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError:
        raise ValueError("no host can have this name") from None
    if not rest.isascii() or not rest.isprintable() or " " in rest:
        raise ValueError("characters of its path or query have to be percent-encoded")
    return value
