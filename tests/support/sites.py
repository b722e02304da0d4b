"""Web sites of a few lines, good and hostile, on a port of this machine."""

import gzip
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

Site = Callable[[socket.socket], None]
"""Called with each connection."""
FOR_EVER: Final = 30.0
"""Seconds; no test waits for them."""


@contextmanager
def serving(site: Site, *, reads: bool = True) -> Iterator[int]:
    """The port of a server that answers with `site`; reads: the request, before it is called."""
    server = socket.create_server(("127.0.0.1", 0))
    open_ones: list[socket.socket] = []

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if reads:
                connection.recv(65536)
            site(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                open_ones.append(connection)
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.close()
        for connection in open_ones:
            connection.close()


def page(body: bytes, *headers: bytes) -> Site:
    """A complete answer. headers: without their line ends."""

    def answer(connection: socket.socket) -> None:
        lines = (b"HTTP/1.1 200 OK", *headers, b"content-length: %d" % len(body), b"", body)
        connection.sendall(b"\r\n".join(lines))

    return answer


def dripping(head: bytes, drop: bytes, every: float) -> Site:
    """Sends `head`, and then `drop` again and again; every: seconds between two, 0 for as fast as they are taken."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        end = time.monotonic() + FOR_EVER
        silence = threading.Event()
        while time.monotonic() < end:
            connection.sendall(drop)
            silence.wait(every)

    return answer


def redirect_with_body(mebibytes: int) -> Site:
    """A redirect to itself whose body is that long."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 302 Found\r\nlocation: /next\r\ntransfer-encoding: chunked\r\n\r\n")
        chunk = b"%x\r\n" % (1 << 20) + bytes(1 << 20) + b"\r\n"
        for _ in range(mebibytes):
            connection.sendall(chunk)
        connection.sendall(b"0\r\n\r\n")

    return answer


def bomb(mebibytes: int, *, times: int = 1) -> bytes:
    """That many zeros, encoded with gzip so many times."""
    stream = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    encoded = b"".join(stream.compress(bytes(1 << 20)) for _ in range(mebibytes)) + stream.flush()
    for _ in range(times - 1):
        encoded = gzip.compress(encoded, 9)
    return encoded


_OK: Final = b"HTTP/1.1 200 OK\r\n"
_CHUNKED: Final = _OK + b"transfer-encoding: chunked\r\n\r\n"
HOSTILE: Final[dict[str, Callable[[], Site]]] = {
    "a bomb encoded twice": lambda: page(bomb(64, times=2), b"content-encoding: gzip, gzip"),
    "two headers of encodings": lambda: page(bomb(64, times=2), b"content-encoding: gzip", b"content-encoding: gzip"),
    "a bomb encoded once": lambda: page(bomb(64), b"content-encoding: gzip"),
    "a bomb of deflate": lambda: page(zlib.compress(bytes(64 << 20), 9), b"content-encoding: deflate"),
    "a redirect with a long body": lambda: redirect_with_body(200),
    "a body without an end": lambda: dripping(_OK + b"\r\n", b"a " * 30_000, 0),
    "headers that drip": lambda: dripping(_OK, b"a: b\r\n", 0.05),
    "a status line that drips": lambda: dripping(b"HTTP/1.1 200 ", b"O", 0.05),
    "informational answers that drip": lambda: dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.05),
    "informational answers without an end": lambda: dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 500, 0),
    "a body that drips": lambda: dripping(_OK + b"\r\n", b"a", 0.05),
    "chunks of one byte": lambda: dripping(_CHUNKED, b"1\r\na\r\n" * 5000, 0),
    "a chunk's size without an end": lambda: dripping(_CHUNKED, b"0" * 60_000, 0),
    "a chunk's extension without an end": lambda: dripping(_CHUNKED + b"1;", b"a" * 60_000, 0),
    "trailers without an end": lambda: dripping(_CHUNKED + b"0\r\n", b"a: b\r\n" * 1000, 0),
    "a header without an end": lambda: dripping(_OK + b"a: ", b"b" * 60_000, 0),
    "headers without an end": lambda: dripping(_OK, b"a: b\r\n" * 1000, 0),
    "a gzip stream of nothing": lambda: dripping(
        _OK + b"content-encoding: gzip\r\n\r\n" + gzip.compress(b"")[:10], b"\x00\x00\x00\xff\xff" * 10_000, 0
    ),
    "no answer": lambda: dripping(b"", b"", 0.05),
    "an answer that is cut off": lambda: (
        lambda connection: connection.sendall(_OK + b"content-length: 1000\r\n\r\n<title>a")
    ),
    "an encoding that is broken": lambda: page(b"no gzip at all", b"content-encoding: gzip"),
    "an encoding that was not requested": lambda: page(b"?", b"content-encoding: br"),
    "an answer that is no HTTP": lambda: lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "a redirect to nonsense": lambda: (
        lambda connection: connection.sendall(b"HTTP/1.1 302 Found\r\nlocation: http://[:::::/\r\n\r\n")
    ),
}
"""By their fault. None can be fetched, and none may exceed the limits."""
