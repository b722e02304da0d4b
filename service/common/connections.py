"""Limits connections: the time in which the head of a request must arrive, and their age.

uvicorn ends an idle connection after a response. A client that opens one and sends the head of a request for ever, byte
by byte or not at all, would keep it, with its memory and its file descriptor.

A busy client keeps its connections, which a Service balances when they are opened and never again. So a new pod would
get no requests, neither of a rollout nor after a change of the number of pods.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import h11
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS: Final = 10.0
"""The time in which the head of a request must arrive, from the connection or from the previous response."""
_AGE_SECONDS: Final = 15.0
"""The first response after this time asks the client to open another connection."""


class LimitedProtocol(H11Protocol):
    """uvicorn's protocol of a connection, with a limit for the head of each request and for the connection's age."""

    head_seconds = HEAD_SECONDS
    age_seconds = _AGE_SECONDS
    _head_timer: asyncio.TimerHandle | None = None
    _age_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()
        self._age_timer = self.loop.call_later(self.age_seconds, self._end_with_next_response)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._age_timer is not None:
            self._age_timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._await_head()
        super().on_response_complete()

    def _await_head(self) -> None:
        self._stop_timer()
        self._head_timer = self.loop.call_later(self.head_seconds, self._close_without_head)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()

    def _close_without_head(self) -> None:
        # From the end of the head on, the application has its own limits.
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()

    def _end_with_next_response(self) -> None:
        self.app = _closing(self.app)


def _closing(app: Any) -> Any:
    """An application whose responses tell the client that the connection ends with them."""

    async def with_header(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        async def send_with_header(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), CLOSE_HEADER]}
            await send(message)

        await app(scope, receive, send_with_header)

    return with_header
