"""Types of settings that are addresses: of servers, and of what is served over HTTP."""

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

HOST: Final = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"
"""Pattern of a host name or an IPv4 address."""
_HOST: Final = re.compile(HOST)
_LARGEST_PORT: Final = 65535


def check_port(address: str) -> str:
    """Return a `host:port` whose port exists.

    Raises:
        ValueError: it does not.
    """
    port = int(address.rpartition(":")[2])
    if not 1 <= port <= _LARGEST_PORT:
        raise ValueError(f"port {port} is not between 1 and {_LARGEST_PORT}")
    return address


def check_url(text: str) -> str:
    """Return a URL that every client understands: a host in ASCII, a port that exists, and no user.

    Raises:
        ValueError: it is none.
    """
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
    except ValueError:
        raise ValueError(f"needs a host, and a port between 1 and {_LARGEST_PORT} if it has one") from None
    if "@" in url.netloc:
        raise ValueError("has a user: credentials are secrets, and not part of an address")
    if not text.isascii():
        raise ValueError("has other letters than ASCII: those of a host are written as xn--…, those of a path as %…")
    is_ipv6 = url.netloc.startswith("[")  # urlsplit has checked it
    if port == 0 or not (is_ipv6 or _HOST.fullmatch(host)):
        raise ValueError(f"needs a host, and a port between 1 and {_LARGEST_PORT} if it has one")
    return text


def _check_base(text: str) -> str:
    if {"?", "#"} & {*text}:
        raise ValueError("may not have `?` or `#`: clients add paths to it")
    return text


HostAndPort = Annotated[
    str, Field(pattern=rf"^{HOST}:\d{{1,5}}$", examples=["db-1.example.com:5432"]), AfterValidator(check_port)
]
"""Host name or IPv4 address, and port."""
WebAddress = Annotated[
    str,
    Field(pattern=r"^https?://[^\s/]+(/[^\s]*[^\s/])?$", examples=["https://example.com"]),
    AfterValidator(check_url),
]
"""HTTP or HTTPS URL without a slash at its end."""
BaseAddress = Annotated[WebAddress, AfterValidator(_check_base)]
"""HTTP or HTTPS URL to which clients add paths."""
