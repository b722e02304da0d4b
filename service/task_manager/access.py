"""The guard of the task-manager: admits the gateway alone, which says for whom it asks."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from fastapi import Request

from service.common.access import Caller, bearer, digest, from_headers, is_same, unauthorized


class GatewayOnly:
    """Admits requests with one of the gateway's tokens."""

    is_open: Final = False

    def __init__(self, tokens: Iterable[str]) -> None:
        """tokens: two during a rotation, else one."""
        self._hashes = tuple(map(digest, tokens))

    @asynccontextmanager
    async def admit(self, request: Request) -> AsyncIterator[Caller]:
        """The caller for whom the gateway asks. Raises HTTPException with status 401."""
        try:
            presented = digest(bearer(request) or "")
            is_gateway = [is_same(presented, one) for one in self._hashes]
            caller = from_headers(request.headers)
        except ValueError:
            raise unauthorized() from None
        if not any(is_gateway):
            raise unauthorized()
        yield caller
