"""Sends encoded export requests to a receiver of OTLP over gRPC, and reads its responses."""

import os
import re
import threading
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from lean_tracing.export_result import (
    EXCEPTION,
    MAX_DETAIL,
    MAX_WAIT,
    RESOURCE_EXHAUSTED,
    ExportResult,
    result_of_response,
)
from lean_tracing.settings import TracingSettings

if TYPE_CHECKING:
    import grpc

TRACES: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS: Final = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

# Bytes of a response; a longer one is not read. In gRPC's message this number tells this limit from a receiver's.
_MAX_RESPONSE: Final = (16 << 20) + 1
_RESPONSE_TOO_LONG = re.compile(rf"(?<!SERVER: )Received message larger than max \([0-9]+ vs\. {_MAX_RESPONSE}\)")
# gRPC's message for a response that has a status of HTTP, and none of gRPC.
_NOT_GRPC: Final = "Received http2 header with status"


class OtlpExporter:
    """Sends to one method of the receiver. The first request opens the channel; so does the first one after a fork."""

    def __init__(self, settings: TracingSettings, method: str) -> None:
        self._settings = settings
        self._method = method
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._call: grpc.UnaryUnaryMultiCallable[bytes, bytes] | None = None
        self._closed = False
        self._headers = tuple(settings.sent_headers.items())
        url = urlsplit(settings.endpoint)
        self._target = f"{f'[{url.hostname}]' if ':' in (url.hostname or '') else url.hostname}:{url.port or 4317}"
        self._secure = url.scheme == "https"

    @property
    def receiver(self) -> str:
        """Its URL, without the parts that may be secret."""
        return f"{'https' if self._secure else 'http'}://{self._target}"

    def send(self, payload: bytes, seconds: float) -> ExportResult:
        """Sends one request within a time limit. Never raises: an exception becomes a result."""
        try:
            response = self._connect()(payload, timeout=seconds, metadata=self._headers)
        except Exception as error:
            result = _result_of_error(error, is_closed=self._closed)
            if result.not_grpc:
                self._disconnect()  # a new connection may reach the receiver
            return result
        return result_of_response(response)

    def close(self) -> None:
        """Closes the connection for good; a request that is being sent ends as cancelled."""
        self._closed = True
        self._disconnect()

    def _disconnect(self) -> None:
        with self._lock:
            channel, self._channel, self._call = self._channel, None, None
        if channel is not None:
            channel.close()

    def forget(self) -> None:
        """Releases the connection without closing it: in a forked child, because it is the parent's."""
        self._lock = threading.Lock()
        self._closed = False
        self._channel = self._call = None

    def _connect(self) -> "grpc.UnaryUnaryMultiCallable[bytes, bytes]":
        with self._lock:
            if self._closed:
                raise ValueError("closed")  # as gRPC does for a closed channel
            if self._call is None:
                self._channel = self._open()
                self._call = self._channel.unary_unary(self._method)
            return self._call

    def _open(self) -> "grpc.Channel":
        # gRPC reads it when it is imported. Without it a forked child that exports hangs.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "true")
        import grpc  # imported late: a service without tracing saves its memory and start-up time

        settings = self._settings
        options = (
            # These notice a receiver that has vanished; the kernel would take 15 minutes.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.max_send_message_length", -1),
            # By default all channels to one target share a connection, which outlives each of them.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", _MAX_RESPONSE),
            # The breaker waits. gRPC's own backoff of up to two minutes would delay the recovery.
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            # Also the time limit of an attempt to connect, which is 20 s by default.
            ("grpc.min_reconnect_backoff_ms", 5_000),
        )
        compression = grpc.Compression.Gzip if settings.compression == "gzip" else grpc.Compression.NoCompression
        if not self._secure:
            return grpc.insecure_channel(self._target, options=options, compression=compression)
        roots = settings.certificate.read_bytes() if settings.certificate else None
        return grpc.secure_channel(
            self._target, grpc.ssl_channel_credentials(roots), options=options, compression=compression
        )


def _result_of_error(error: Exception, *, is_closed: bool) -> ExportResult:
    import grpc

    if not isinstance(error, grpc.RpcError):
        # gRPC raises ValueError if `close` has closed the channel meanwhile.
        code = "cancelled" if is_closed and isinstance(error, ValueError) else EXCEPTION
        return ExportResult(code=code, detail=f"{type(error).__name__}: {error}"[:MAX_DETAIL])
    # Only errors that are also calls have these methods, and gRPC does not promise them for any.
    code = getattr(_call(error, "code"), "name", "UNKNOWN").lower()
    detail = str(_call(error, "details") or "")[:MAX_DETAIL]
    if code == RESOURCE_EXHAUSTED and _RESPONSE_TOO_LONG.search(detail):
        # The request is accepted, because a refusal has no message. Sent again, it would arrive twice.
        return ExportResult(code="ok", detail="unreadable answer: too long", unreadable=True)
    return ExportResult(
        code=code,
        detail=detail,
        retry_after=_retry_after(_call(error, "trailing_metadata")),
        not_grpc=code == "unimplemented" and _NOT_GRPC in detail,
    )


def _call(error: object, method: str) -> Any:
    try:
        return getattr(error, method)()
    except Exception:
        return None


def _retry_after(metadata: Any) -> float | None:
    """The wait that the status of a response asks for, in s; None if it asks for none, or cannot be read."""
    details = next((value for key, value in metadata or () if key == "grpc-status-details-bin"), None)
    if details is None:
        return None
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    try:
        for detail in Status.FromString(details).details:
            info = RetryInfo()
            if detail.Unpack(info):
                seconds = info.retry_delay.seconds + info.retry_delay.nanos * 1e-9
                return float(min(max(0.0, seconds), MAX_WAIT))
    except Exception:  # a response is foreign input
        return None
    return None
