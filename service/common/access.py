"""Who calls a service, and the guard that decides on each request before its body is read."""

import hmac
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Protocol
from urllib.parse import quote, unquote

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from contracts.access import Role

OWNER_HEADER: Final = "x-caller"
ROLE_HEADER: Final = "x-caller-role"
_LONGEST_CREDENTIAL: Final = 8192
_DETAIL: Final = "The credential is missing or not valid."


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The program or person that sent a request."""

    owner: str | None
    """Stored with the tasks that the caller submits; None if access control is off."""
    role: Role

    @property
    def readable_owner(self) -> str | None:
        """The owner of the tasks that the caller may read; None: all tasks."""
        return self.owner if self.role is Role.USER else None

    def sees_address_of(self, owner: str | None) -> bool:
        """Whether the caller may see the e-mail address of a task that `owner` submitted."""
        return self.role is Role.SUPPORT or (owner is not None and owner == self.owner)


ANYONE: Final = Caller(owner=None, role=Role.SUPPORT)
"""Every caller, if access control is off."""


class Guard(Protocol):
    """Decides who may call a route."""

    @property
    def is_open(self) -> bool:
        """Whether it lets every caller pass."""

    def admit(self, request: Request) -> AbstractAsyncContextManager[Caller]:
        """The caller; the request is in progress until the context ends. Raises HTTPException, or Unavailable."""


class OpenGuard:
    """The guard without access control."""

    is_open: Final = True

    @asynccontextmanager
    async def admit(self, _request: Request) -> AsyncIterator[Caller]:
        """Admits every caller."""
        yield ANYONE


def guarded(guard: Guard) -> type[APIRoute]:
    """The class of routes whose requests `guard` admits.

    It is no dependency: FastAPI reads a request's body before its dependencies.
    """

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def guarded_handle(request: Request) -> Response:
                async with guard.admit(request) as caller:
                    request.state.caller = caller
                    return await handle(request)

            return guarded_handle

    return GuardedRoute


def caller_of(request: Request) -> Caller:
    """The caller whom the guard of the route has admitted."""
    caller: Caller = request.state.caller
    return caller


def bearer(request: Request) -> str | None:
    """The bearer credential of a request; None without the header `Authorization`. Raises ValueError."""
    values = request.headers.getlist("authorization")
    if not values:
        return None
    scheme, _, credential = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not 0 < len(credential) <= _LONGEST_CREDENTIAL:
        raise ValueError("not one bearer credential")
    return credential


def unauthorized() -> HTTPException:
    """The answer to a request whose credential is missing or wrong. It does not say which."""
    return HTTPException(401, _DETAIL, {"WWW-Authenticate": "Bearer"})


def digest(credential: str) -> str:
    """The hash under which a random credential is stored, as 64 hexadecimal digits."""
    return sha256(credential.encode()).hexdigest()


def is_same(one: str, other: str) -> bool:
    """Compares two hashes in a time that does not depend on their content."""
    return hmac.compare_digest(one.encode(), other.encode())


def to_headers(caller: Caller) -> dict[str, str]:
    """The headers by which the gateway tells the task-manager who calls; none if access control is off."""
    return {} if caller.owner is None else {OWNER_HEADER: quote(caller.owner, safe=":"), ROLE_HEADER: caller.role}


def from_headers(headers: Mapping[str, str]) -> Caller:
    """The caller in the headers of the gateway. Raises ValueError."""
    owner = unquote(headers.get(OWNER_HEADER, ""), errors="strict")
    if not owner:
        raise ValueError("no caller")
    return Caller(owner=owner, role=Role(headers.get(ROLE_HEADER, "")))
