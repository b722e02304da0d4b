"""The check of the task-manager, which several pods behind one address may answer."""

import ssl
from typing import Final

import httpx

from contracts import http

_TIMEOUT: Final = httpx.Timeout(2.0, connect=0.7)
"""The time that the task-manager has to answer a check, in s."""
_CONNECTIONS: Final = 3
"""Attempts of a check: while a node is lost, the Service leads a part of the connections to a lost pod."""


class TaskManagerCheck:
    """Raises when called, if no pod of the task-manager answers."""

    def __init__(self, url: str, trust: ssl.SSLContext | bool = True) -> None:
        """url: of the task-manager. trust: how its certificate is verified."""
        self._url = f"{url}{http.LIVE}"
        # Each check makes its own connection: a kept one leads to one pod alone.
        limits = httpx.Limits(max_keepalive_connections=0)
        transport = httpx.HTTPTransport(verify=trust, limits=limits, retries=_CONNECTIONS - 1)
        self._client = httpx.Client(transport=transport, timeout=_TIMEOUT)

    def __call__(self) -> None:
        """Checks once.

        Raises:
            httpx.HTTPError: the task-manager does not answer, or with an error.
        """
        self._client.get(self._url).raise_for_status()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()
