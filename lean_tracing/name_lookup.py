"""Looks up the addresses of a host within a time limit.

The system's resolver has none: it asks several servers, each of them more than once, for each search domain.
"""

import contextlib
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any

Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
"""As `socket.getaddrinfo` returns it."""


class NameLookup:
    """Looks up one host; `addresses` is for one thread, `end` for any.

    A lookup that takes too long goes on in a thread of its own. The next attempt waits for the same one, so that there
    is never more than one such thread.
    """

    def __init__(self, host: str, port: int) -> None:
        """Creates a lookup of a name or an address."""
        self._host = host
        self._port = port
        self._running: Future[Sequence[Address]] | None = None
        self._ended = False

    def addresses(self, seconds: float) -> Sequence[Address]:
        """The addresses.

        Raises:
            TimeoutError: the resolver takes longer.
            CancelledError: `end` was called.
            OSError: the name has no address.
        """
        with contextlib.suppress(OSError):  # it is a name
            return self._ask(socket.AI_NUMERICHOST)
        running = self._running
        if running is None:
            running = self._running = Future()
            try:
                threading.Thread(target=self._look_up, args=(running,), name="name-lookup", daemon=True).start()
            except RuntimeError:  # no more threads, or the interpreter is shutting down
                self._look_up(running)
        if self._ended:  # `end` may have found no lookup
            running.cancel()
        failure = running.exception(seconds)
        self._running = None
        if failure is not None:
            raise failure
        return running.result()

    def end(self) -> None:
        """Ends the wait of another thread, for good."""
        self._ended = True
        if (running := self._running) is not None:
            running.cancel()

    def _look_up(self, running: "Future[Sequence[Address]]") -> None:
        with contextlib.suppress(InvalidStateError):  # `end` was called meanwhile
            try:
                running.set_result(self._ask())
            except Exception as error:
                running.set_exception(error)

    def _ask(self, flags: int = 0) -> Sequence[Address]:
        return socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=flags)
