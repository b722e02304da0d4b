"""Access to the query API of a store that the stack did not build."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a client of the store sends and trusts."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with each request, credentials included."""
    ca: str = ""
    """PEM of the authority that signed the store's certificate; empty for the public ones."""

    def client(self) -> httpx.Client:
        """Returns a client of the store; the caller closes it."""
        context = ssl.create_default_context(cadata=self.ca) if self.ca else ssl.create_default_context()
        return httpx.Client(headers=dict(self.headers), verify=context)
