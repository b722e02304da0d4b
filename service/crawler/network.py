"""Connections for one request each, whose every wait ends at the request's deadline.

httpx and its transport limit each wait separately: a server that sends a byte now and then can hold them for ever.
"""

import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpcore
import httpx

DEADLINE: Final = "deadline"
"""The request extension with its `Deadline`; httpx copies it to the request that follows a redirect."""
T = TypeVar("T")


@dataclass(frozen=True)
class Deadline:
    """A point in time on the monotonic clock."""

    time: float

    def left(self, most: float | None = None) -> float:
        """Seconds until the deadline, at most `most`. Raises httpx.TimeoutException after it."""
        seconds = self.time - time.monotonic()
        if seconds <= 0:
            raise httpx.TimeoutException("the time for the whole fetch is over")
        return seconds if most is None else min(seconds, most)


class NoThread(Exception):
    """There is no thread for a call. The text is the reason, for the user."""


class Threads:
    """Threads for calls without a time limit, such as a DNS lookup: one thread a call, up to a maximum."""

    def __init__(self, most: int) -> None:
        self._free = threading.BoundedSemaphore(most)

    def run_until(self, deadline: Deadline, work: Callable[[], T]) -> T:
        """Returns or raises what `work` does. A thread whose call hangs runs on.

        Raises:
            NoThread: Too many calls hang, or the process can start no thread.
            httpx.TimeoutException: The deadline has passed.
        """
        if not self._free.acquire(blocking=False):
            raise NoThread("too many DNS lookups have no answer yet")
        future: Future[T] = Future()

        def run() -> None:
            try:
                result = work()
            except BaseException as error:
                self._free.release()
                future.set_exception(error)
            else:
                self._free.release()
                future.set_result(result)

        try:
            threading.Thread(target=run, name="crawler-lookup", daemon=True).start()
        except (RuntimeError, MemoryError) as error:
            self._free.release()
            raise NoThread("the crawler has no thread left for a DNS lookup") from error
        try:
            return future.result(deadline.left())
        except FutureTimeout:
            raise httpx.TimeoutException("the time for the whole fetch is over") from None


class DeadlineTransport(httpx.BaseTransport):
    """HTTP/1.1 on a new connection for each request, which needs the extension `DEADLINE`."""

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        """ssl_context: httpx's own by default."""
        self._ssl_context = ssl_context or httpx.create_ssl_context()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the connection is closed with the response."""
        url = httpcore.URL(
            scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path
        )
        connection = httpcore.HTTPConnection(
            origin=url.origin,
            ssl_context=self._ssl_context,
            network_backend=_Backend(request.extensions[DEADLINE]),
        )
        try:
            with _as_httpx():
                response = connection.handle_request(
                    httpcore.Request(
                        request.method,
                        url,
                        headers=request.headers.raw,
                        content=request.stream,
                        extensions=request.extensions,
                    )
                )
        except BaseException:
            connection.close()
            raise
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Stream(response, connection),
            extensions=response.extensions,
        )


class _Stream(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response, connection: httpcore.HTTPConnection) -> None:
        self._response = response
        self._connection = connection

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx():
            yield from self._response.iter_stream()

    def close(self) -> None:
        # The rest of the body is not read.
        self._connection.close()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Raises httpcore's exceptions as httpx's exceptions of the same names."""
    try:
        yield
    except (
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.UnsupportedProtocol,
    ) as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error


class _Backend(httpcore.NetworkBackend):
    def __init__(self, deadline: Deadline) -> None:
        self._backend = httpcore.SyncBackend()
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._backend.connect_tcp(host, port, self._deadline.left(timeout), local_address, socket_options)
        return _Connection(stream, self._deadline)


class _Connection(httpcore.NetworkStream):
    """A stream whose waits end at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Connection(
            self._stream.start_tls(ssl_context, server_hostname, self._deadline.left(timeout)), self._deadline
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()
