"""Sends encoded export requests to a receiver of OTLP over HTTP, and reads its responses.

One request at a time over one connection of HTTP/1.1 needs no more than `http_connection`.
"""

import gzip
import ssl
import threading
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPException, RemoteDisconnected
from typing import Final
from urllib.parse import urlsplit

from lean_tracing.export_result import EXCEPTION, MAX_DETAIL, MAX_WAIT, ExportResult, result_of_response
from lean_tracing.http_connection import HttpConnection, Response
from lean_tracing.name_lookup import NameLookup
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
_CLOSED: Final = (RemoteDisconnected, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


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
            **settings.sent_headers,
        }
        self._sending = threading.Lock()
        self._lookup = NameLookup(self._host, self._port)
        self._connection: HttpConnection | None = None
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
        with self._sending:
            try:
                result = self._send(gzip.compress(payload, 6) if self._compressed else payload, deadline)
            except Exception as error:
                self._disconnect()
                result = _result_of_error(error, is_closed=self._closed)
        if self._closed:
            self._disconnect_if_idle()
        return result

    def close(self) -> None:
        """Closes the connection for good; a request that is being sent ends as cancelled."""
        self._closed = True
        if (connection := self._connection) is not None:
            connection.end()
        self._disconnect_if_idle()

    def forget(self) -> None:
        """Releases the connection without ending it: in a forked child, because it is the parent's."""
        self._sending = threading.Lock()
        self._lookup = NameLookup(self._host, self._port)
        self._closed = False
        self._disconnect()  # closes the child's copy of the socket, of which the receiver notices nothing

    def _send(self, body: bytes, deadline: float) -> ExportResult:
        if (connection := self._usable()) is not None:
            try:
                return self._exchange(connection, body, deadline)
            except _CLOSED:
                self._disconnect()
        return self._exchange(self._connect(deadline), body, deadline)

    def _usable(self) -> HttpConnection | None:
        """The connection, if it is open and not old."""
        connection = self._connection
        if connection is None:
            return None
        if time.monotonic() - self._connected_at <= self._max_age and connection.is_usable():
            return connection
        self._disconnect()
        return None

    def _connect(self, deadline: float) -> HttpConnection:
        # Reads the certificates again, which may have been replaced.
        context = ssl.create_default_context(cafile=self._certificate) if self._secure else None
        self._connected_at = time.monotonic()
        self._connection = connection = HttpConnection(self._host, self._port, context, self._lookup)
        if self._closed:  # `close` may have found no connection
            raise ConnectionAbortedError("closed")
        connection.open(deadline)
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _disconnect_if_idle(self) -> None:
        """Closes the connection, unless a request is being sent: its thread closes it then."""
        if self._sending.acquire(blocking=False):
            try:
                self._disconnect()
            finally:
                self._sending.release()

    def _exchange(self, connection: HttpConnection, body: bytes, deadline: float) -> ExportResult:
        response = connection.post(self._path, self._headers, body, deadline)
        try:
            answer, problem = response.read(_MAX_RESPONSE + 1), ""
        except Exception as error:
            # The status counts. A request that is accepted would arrive twice if it were sent again.
            answer, problem = b"", type(error).__name__
        if problem or response.will_close or not response.is_whole:
            self._disconnect()
        response.close()
        if len(answer) > _MAX_RESPONSE:
            problem = "too long"
        elif response.length:  # what is left of the announced one
            problem = "cut off"
        return _result(response, answer, problem)


def _result(response: Response, answer: bytes, problem: str) -> ExportResult:
    status = response.status
    if 200 <= status < 300:
        if problem:
            return ExportResult(code="ok", detail=f"unreadable answer: {problem}", unreadable=True)
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
    if isinstance(error, (OSError, HTTPException)):
        return ExportResult(code="unavailable", detail=detail)
    return ExportResult(code=EXCEPTION, detail=detail)
