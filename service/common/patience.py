"""Closes connections whose request never arrives.

uvicorn ends an idle connection after a response. A client that opens one and sends the head of a request for ever, byte
by byte or not at all, would keep it, with its memory and its file descriptor.
"""

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS: Final = 10.0
"""The time in which the head of a request must arrive, from the connection or from the previous response."""


class PatientProtocol(H11Protocol):
    """uvicorn's protocol of a connection, with a limit for the head of each request."""

    head_seconds = HEAD_SECONDS
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
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
