"""Sends encoded export requests to a receiver of OTLP over HTTP, and reads its responses.

With the client of the standard library: one request at a time over one connection needs no more.
"""

import contextlib
import gzip
import http.client
import socket
import ssl
import threading
import time
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from lean_tracing.export_result import EXCEPTION, MAX_DETAIL, MAX_WAIT, ExportResult, result_of_response
from lean_tracing.settings import Signal, TracingSettings
from lean_tracing.version import NAME, VERSION

# gRPC's codes for statuses of HTTP, as gRPC itself reads the responses of proxies. OTLP allows another try after 429,
# 502, 503 and 504 alone, and 413 is what RESOURCE_EXHAUSTED is in gRPC: the request is too large.
_CODES: Final = {
    400: "invalid_argument",
    401: "unauthenticated",
    403: "permission_denied",
    404: "unimplemented",
    405: "unimplemented",
    413: "resource_exhausted",
    429: "unavailable",
    502: "unavailable",
    503: "unavailable",
    504: "unavailable",
}
_MAX_RESPONSE: Final = 1 << 20
MAX_AGE: Final = 60.0
"""Seconds after which a connection is replaced: it stays with one receiver, and others may have been added."""
# A receiver closes a connection that was idle, and the client learns it from its next request.
_CLOSED: Final = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class OtlpHttpExporter:
    """Sends one signal. The first request opens the connection; so does the first one after a fork."""

    def __init__(self, settings: TracingSettings, signal: Signal, *, max_age: float = MAX_AGE) -> None:
        url = urlsplit(settings.url(signal))
        self._secure = url.scheme == "https"
        self._host = url.hostname or ""
        self._port = url.port or (443 if self._secure else 80)
        self._path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._shown = f"{url.scheme}://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}{url.path}"
        self._certificate = settings.certificate
        self._compressed = settings.compression == "gzip"
        self._headers = {
            "content-type": "application/x-protobuf",
            "user-agent": f"{NAME}/{VERSION}",
            **({"content-encoding": "gzip"} if self._compressed else {}),
            **{name: value.get_secret_value() for name, value in settings.headers.items()},
        }
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._connected_at = 0.0
        self._max_age = max_age
        self._closed = False

    @property
    def receiver(self) -> str:
        """Its URL, without the parts that may be secret."""
        return self._shown

    def send(self, payload: bytes, seconds: float) -> ExportResult:
        """Sends one request within a time limit. Never raises: an exception becomes a result."""
        deadline = time.monotonic() + seconds
        body = gzip.compress(payload, 6) if self._compressed else payload
        try:
            connection, is_new = self._connect()
            try:
                return self._exchange(connection, body, deadline)
            except _CLOSED:
                if is_new or self._closed:
                    raise
                self._disconnect()
                return self._exchange(self._connect()[0], body, deadline)
        except Exception as error:
            self._disconnect()
            return _result_of_error(error, is_closed=self._closed)

    def close(self) -> None:
        """Closes the connection for good; a request that is being sent ends as cancelled."""
        self._closed = True
        with self._lock:
            connection = self._connection
        open_socket = connection.sock if connection is not None else None
        if open_socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                open_socket.shutdown(socket.SHUT_RDWR)  # ends a request that another thread waits for
        self._disconnect()

    def forget(self) -> None:
        """Releases the connection without closing it: in a forked child, because it is the parent's."""
        self._lock = threading.Lock()
        self._closed = False
        self._connection = None

    def _connect(self) -> tuple[http.client.HTTPConnection, bool]:
        """The connection, and whether it is a new one."""
        if time.monotonic() - self._connected_at > self._max_age:
            self._disconnect()
        with self._lock:
            if self._closed:
                raise ValueError("closed")
            if self._connection is not None:
                return self._connection, False
            self._connected_at = time.monotonic()
            if self._secure:
                context = ssl.create_default_context(cafile=self._certificate)
                self._connection = http.client.HTTPSConnection(self._host, self._port, context=context)
            else:
                self._connection = http.client.HTTPConnection(self._host, self._port)
            return self._connection, True

    def _disconnect(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes, deadline: float) -> ExportResult:
        connection.timeout = _left(deadline)
        if connection.sock is not None:
            connection.sock.settimeout(_left(deadline))
        connection.request("POST", self._path, body, self._headers)
        if connection.sock is not None:
            connection.sock.settimeout(_left(deadline))
        response = connection.getresponse()
        answer = response.read(_MAX_RESPONSE + 1)
        if len(answer) > _MAX_RESPONSE or response.will_close:
            self._disconnect()
        return _result(response, answer)


def _left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("no time is left")
    return seconds


def _result(response: http.client.HTTPResponse, answer: bytes) -> ExportResult:
    status = response.status
    if 200 <= status < 300:
        if len(answer) > _MAX_RESPONSE:
            return ExportResult(code="ok", detail="unreadable answer: too long", unreadable=True)
        return result_of_response(answer)
    reason = f"HTTP {status} {response.reason}".strip()
    return ExportResult(
        code=_CODES.get(status, "internal" if status >= 500 else "unknown"),
        detail=reason[:MAX_DETAIL],
        retry_after=_retry_after(response.getheader("retry-after")) if status in (429, 503) else None,
    )


def _retry_after(value: str | None) -> float | None:
    """Seconds from a number or a date; None if there is none, or if it cannot be read."""
    if value is None:
        return None
    try:
        seconds = float(value) if value.strip().isdecimal() else parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), MAX_WAIT)


def _result_of_error(error: Exception, *, is_closed: bool) -> ExportResult:
    detail = f"{type(error).__name__}: {error}"[:MAX_DETAIL]
    if is_closed:
        return ExportResult(code="cancelled", detail=detail)
    if isinstance(error, TimeoutError):
        return ExportResult(code="deadline_exceeded", detail=detail)
    if isinstance(error, (OSError, http.client.HTTPException)):
        return ExportResult(code="unavailable", detail=detail)
    return ExportResult(code=EXCEPTION, detail=detail)
