"""The guard of the gateway: authenticates the caller, then applies the caller's limits."""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol

from fastapi import Request
from opentelemetry import trace
from starlette.exceptions import HTTPException

from contracts import span_attributes
from contracts.access import Refusal
from service.common.access import Caller, bearer, unauthorized
from service.gateway.access.keys import ApiKeys
from service.gateway.access.limits import Concurrency, Rate
from service.gateway.access.refused import Refused

_TOO_MANY: Final = "Too many requests. Try again later."


class TokenVerifier(Protocol):
    """Knows the callers of tokens."""

    async def caller(self, token: str) -> Caller:
        """The caller whom a token names. Raises Refused, and Unavailable without the issuer's keys."""


class FrontDoor:
    """Admits callers with an API key or a token, within their limits."""

    is_open: Final = False

    def __init__(
        self,
        api_keys: ApiKeys,
        tokens: TokenVerifier | None,
        rate: Rate,
        concurrency: Concurrency,
        on_refusal: Callable[[Refusal], None],
    ) -> None:
        """Builds it; tokens: None without an identity provider. on_refusal: counts."""
        self._api_keys = api_keys
        self._tokens = tokens
        self._rate = rate
        self._concurrency = concurrency
        self._on_refusal = on_refusal

    @asynccontextmanager
    async def admit(self, request: Request) -> AsyncIterator[Caller]:
        """The caller. Raises HTTPException with status 401 or 429, and Unavailable without the issuer's keys."""
        try:
            caller = await self._authenticate(request)
            owner = caller.owner or ""
            slot = self._concurrency.entered(owner)
            with slot:
                self._rate.take(owner)
                yield caller
        except Refused as refusal:
            trace.get_current_span().set_attribute(span_attributes.ACCESS_REFUSAL, refusal.reason)
            self._on_refusal(refusal.reason)
            raise _answer(refusal) from None

    async def _authenticate(self, request: Request) -> Caller:
        try:
            credential = bearer(request)
        except ValueError:
            raise Refused(Refusal.MALFORMED) from None
        if credential is None:
            raise Refused(Refusal.MISSING)
        if caller := self._api_keys.caller(credential):
            return caller
        if self._tokens is None or "." not in credential:
            raise Refused(Refusal.UNKNOWN)
        return await self._tokens.caller(credential)


def _answer(refusal: Refused) -> HTTPException:
    if refusal.retry_seconds is None:
        return unauthorized()
    return HTTPException(429, _TOO_MANY, {"Retry-After": str(math.ceil(refusal.retry_seconds))})
