"""A connection for requests of HTTP/1.1, each of which ends by its deadline.

The client of the standard library limits each wait for some bytes. A receiver that sends one byte at a time would take
as long as it likes, and so would a name with several addresses, none of which answers.
"""

import contextlib
import io
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException, HTTPResponse
from typing import Any, Final

from lean_tracing.name_lookup import NameLookup

# Of a request, for one address; with several addresses one that does not answer leaves time for the others.
_CONNECT_SECONDS: Final = 5.0
_MAX_RECEIVED: Final = (1 << 20) + (128 << 10)
"""Bytes of a response, headers included."""
_MAX_INFORMATIONAL: Final = 10


class Response(HTTPResponse):
    """A response, without the informational ones before it."""

    def begin(self) -> None:
        super().begin()
        # The base class skips only 100. 101 is no answer to a request that asks for no other protocol.
        for _ in range(_MAX_INFORMATIONAL):
            if not 101 < self.status < 200:
                return
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        raise HTTPException("too many informational responses")

    @property
    def is_whole(self) -> bool:
        """Whether all of it has been read, so that the next response follows."""
        return self.isclosed() and not self.length and not 100 <= self.status < 200


class HttpConnection:
    """Sends one request after the other, in one thread; `end` is for any thread."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None, lookup: NameLookup) -> None:
        """Creates a connection that is not open yet.

        Args:
            host: name or address.
            port: of the receiver.
            context: of TLS; None without TLS.
            lookup: of the host; further connections go on with it.
        """
        self._host = host
        self._port = port
        self._context = context
        self._lookup = lookup
        self._socket: socket.socket | None = None
        self._ended = False
        self._deadline = 0.0

    def open(self, deadline: float) -> None:
        """Connects to the first address that takes the connection."""
        self._deadline = deadline
        addresses = self._lookup.addresses(self._left())
        for number, (family, kind, protocol, _, address) in enumerate(addresses, 1):
            plain = self._use(socket.socket(family, kind, protocol))
            try:
                plain.settimeout(min(self._left(), _CONNECT_SECONDS if number < len(addresses) else self._left()))
                plain.connect(address)
            except OSError:
                self.close()
                if number == len(addresses):
                    raise
                continue
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                plain.settimeout(self._left())
                tls = self._context.wrap_socket(plain, server_hostname=self._host, do_handshake_on_connect=False)
                self._use(tls)
                tls.do_handshake()
            return

    def is_usable(self) -> bool:
        """Whether another request may be sent: the receiver has sent nothing, not even the end of the connection."""
        connected = self._socket
        if connected is None or (isinstance(connected, ssl.SSLSocket) and connected.pending()):
            return False
        connected.settimeout(0.0)
        try:
            socket.socket.recv(connected, 1, socket.MSG_PEEK)  # below TLS
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def post(self, path: str, headers: Mapping[str, str], body: bytes, deadline: float) -> Response:
        """Sends a request, and reads the status and the headers of its response."""
        self._deadline = deadline
        host = self._host.encode("idna").decode() if not self._host.isascii() else self._host
        authority = f"[{host}]" if ":" in host else host
        lines = {
            "host": f"{authority}:{self._port}",
            "accept-encoding": "identity",
            **headers,
            "content-length": str(len(body)),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        try:
            # At once, so that the receiver is not woken for the headers alone.
            self._send(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode("ascii") + body)
        except (BrokenPipeError, ConnectionResetError) as error:
            # A receiver that refuses a request for its headers may answer and close before it has read the body.
            with contextlib.suppress(Exception):
                return self._receive()
            raise error
        return self._receive()

    def close(self) -> None:
        """Closes the connection; for the thread that sends, or if none does."""
        connected, self._socket = self._socket, None
        if connected is not None:
            connected.close()

    def end(self) -> None:
        """Ends the request that another thread waits for, with an OSError there. That thread closes the connection."""
        self._ended = True
        self._lookup.end()
        if (connected := self._socket) is not None:
            with contextlib.suppress(OSError):  # it is closed already
                # Not the method of TLS, after which another thread would send in clear.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)

    def _use(self, connected: socket.socket) -> socket.socket:
        self._socket = connected
        if self._ended:
            self.close()
            raise ConnectionAbortedError("closed")
        return connected

    def _left(self) -> float:
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("no time is left")
        return seconds

    def _ready(self) -> socket.socket:
        """The socket, with the time that is left as its time limit."""
        if self._socket is None:
            raise ConnectionAbortedError("closed")
        self._socket.settimeout(self._left())
        return self._socket

    def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._ready().send(rest) :]

    def _receive(self) -> Response:
        response = Response(_Received(self._ready), method="POST")  # type: ignore[arg-type]  # it needs only `makefile`
        try:
            response.begin()
        except BaseException:
            response.close()
            raise
        return response


class _Received(io.RawIOBase):
    """What a socket receives, up to a limit; each wait is limited by the time that is left."""

    def __init__(self, ready: Callable[[], socket.socket]) -> None:
        self._ready = ready
        self._room = _MAX_RECEIVED

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._room <= 0:
            raise ResponseTooLong("the response is too long")
        count = self._ready().recv_into(buffer)
        self._room -= count
        return count


class ResponseTooLong(OSError):
    """A response has more bytes than are read."""
