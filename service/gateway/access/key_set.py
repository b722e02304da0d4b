"""The public keys with which an identity provider's tokens are verified."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import httpx
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from service.common.errors import Unavailable

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
"""Signatures with a private key, which the identity provider alone has. An HMAC's key could be a public one."""
_KEY_TYPES: Final = frozenset({"RSA", "EC", "OKP"})
_LIFETIME_SECONDS: Final = 300.0
"""After this time the keys are fetched again: a key that the provider withdraws is refused from then on."""
_PAUSE_SECONDS: Final = 10.0
"""Between two fetches: tokens with invented key ids must not make the gateway flood the identity provider."""
_STALE_SECONDS: Final = 3600.0
"""Time for which the keys count while the identity provider does not answer."""
_MOST_KEYS: Final = 100
_LONGEST_DOCUMENT: Final = 256 * 1024
_logger = logging.getLogger(__name__)


class KeySet:
    """The keys at a URL (JWKS, RFC 7517), fetched when they are needed."""

    def __init__(self, url: str, client: httpx.AsyncClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._client = client
        self._clock = clock
        self._keys: Mapping[str, PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def key(self, key_id: str) -> PyJWK | None:
        """The key of this id; None if the identity provider has none.

        Raises:
            Unavailable: the keys are not known, because the identity provider does not answer.
        """
        known = self._keys.get(key_id)
        if self._is_due(known) and not (known and self._fetching.locked()):
            async with self._fetching:
                if self._is_due(self._keys.get(key_id)):
                    await self._fetch()
        if self._clock() - self._fetched_at > _STALE_SECONDS:
            raise Unavailable("The identity provider is unavailable")
        return self._keys.get(key_id)

    def _is_due(self, known: PyJWK | None) -> bool:
        now = self._clock()
        is_old = known is None or now - self._fetched_at > _LIFETIME_SECONDS
        return is_old and now - self._tried_at > _PAUSE_SECONDS

    async def _fetch(self) -> None:
        self._tried_at = self._clock()
        try:
            async with self._client.stream("GET", self._url) as answer:
                answer.raise_for_status()
                document = await _limited(answer)
            self._keys = _usable(document)
        except (httpx.HTTPError, ValueError) as error:
            _logger.warning("the identity provider's keys could not be fetched: %s", type(error).__name__)
            return
        self._fetched_at = self._tried_at


async def _limited(answer: httpx.Response) -> bytes:
    content = b""
    async for piece in answer.aiter_bytes():
        content += piece
        if len(content) > _LONGEST_DOCUMENT:
            raise ValueError("the document is too long")
    return content


def _usable(document: bytes) -> Mapping[str, PyJWK]:
    """The keys that may verify tokens, by their ids. Raises ValueError."""
    body = httpx.Response(200, content=document).json()
    if not isinstance(body, dict) or not isinstance(body.get("keys"), list):
        raise ValueError("no list of keys")
    return dict(_keys(body["keys"][:_MOST_KEYS]))


def _keys(entries: Iterable[Any]) -> Iterable[tuple[str, PyJWK]]:
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("kty") not in _KEY_TYPES or entry.get("use", "sig") != "sig":
            continue
        try:
            key = PyJWK(entry)
        except (PyJWTError, ValueError, TypeError):
            continue  # of a kind that is not known here; the others still count
        if isinstance(entry.get("kid"), str) and key.algorithm_name in ALGORITHMS:
            yield entry["kid"], key
