"""OTLP over gRPC: an export request, already bytes, and what the receiver said to it."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from service.tracing.settings import TracingSettings

if TYPE_CHECKING:
    import grpc

TRACES: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS: Final = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

# The codes after which OTLP's specification allows another try; all others say that the same request will fail again.
# RESOURCE_EXHAUSTED is not among them: it allows one only where the answer says when.
_RETRYABLE: Final = frozenset({"cancelled", "deadline_exceeded", "aborted", "out_of_range", "unavailable", "data_loss"})
_RESOURCE_EXHAUSTED: Final = "resource_exhausted"
# Bytes of an answer; a longer one is not read. In gRPC's message this number tells our limit from a receiver's.
_LONGEST_ANSWER: Final = (16 << 20) + 1
_ANSWER_TOO_LONG = re.compile(rf"(?<!SERVER: )Received message larger than max \([0-9]+ vs\. {_LONGEST_ANSWER}\)")
# What gRPC says of an answer that has a status of HTTP, and none of gRPC.
_NOT_GRPC: Final = "Received http2 header with status"
# No code of gRPC's: the client itself raised something, so the receiver has said nothing.
_EXCEPTION: Final = "exception"
# A receiver that asks for more is asked again all the same.
_LONGEST_WAIT: Final = 600.0  # seconds
# gRPC puts the reason at the end of a text that names every address.
_LONGEST_DETAIL: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """What became of a request. `code` is gRPC's, in lower case; `rejected` counts items of an accepted request."""

    code: str
    rejected: int = 0
    detail: str = ""
    retry_after: float | None = None
    """Seconds after which the receiver wants to be asked again, where it says so."""
    unreadable: bool = False
    """The request was accepted, with an answer that says nothing that can be used."""

    not_grpc: bool = False
    """Something else than a receiver answered: a proxy without a route to one, or whatever now has its address."""

    @property
    def ok(self) -> bool:
        """Accepted, apart from what was rejected."""
        return self.code == "ok"

    @property
    def retryable(self) -> bool:
        """Another try may succeed."""
        if self.code == _RESOURCE_EXHAUSTED:
            return self.retry_after is not None
        return self.code in _RETRYABLE or self.code == _EXCEPTION or self.not_grpc

    @property
    def too_large(self) -> bool:
        """The receiver has no room for the request and never will; for a smaller one it may have."""
        return self.code == _RESOURCE_EXHAUSTED and self.retry_after is None


class OtlpExporter:
    """Sends to one method of the receiver. The channel is made with the first request, again after a fork."""

    def __init__(self, settings: TracingSettings, method: str) -> None:
        self._settings = settings
        self._method = method
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._call: grpc.UnaryUnaryMultiCallable[bytes, bytes] | None = None
        self._closed = False
        self._headers = tuple((name, value.get_secret_value()) for name, value in settings.headers.items())
        url = urlsplit(settings.endpoint)
        self._target = f"{f'[{url.hostname}]' if ':' in (url.hostname or '') else url.hostname}:{url.port or 4317}"
        self._secure = url.scheme == "https"

    @property
    def receiver(self) -> str:
        """Its URL, without what may be secret in it."""
        return f"{'https' if self._secure else 'http'}://{self._target}"

    def send(self, payload: bytes, seconds: float) -> ExportResult:
        """One request within a time limit; an exception of whatever kind becomes an answer that says so."""
        try:
            answer = self._connect()(payload, timeout=seconds, metadata=self._headers)
        except Exception as error:
            failed = _failed(error, closed=self._closed)
            if failed.not_grpc:
                self._hang_up()  # the connection would stay with it
            return failed
        return _accepted(answer)

    def close(self) -> None:
        """Ends the connection for good; a request under way ends as cancelled."""
        self._closed = True
        self._hang_up()

    def _hang_up(self) -> None:
        with self._lock:
            channel, self._channel, self._call = self._channel, None, None
        if channel is not None:
            channel.close()

    def forget(self) -> None:
        """After a fork, in the child: the connection is the parent's."""
        self._lock = threading.Lock()
        self._closed = False
        self._channel = self._call = None

    def _connect(self) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
        with self._lock:
            if self._closed:
                raise ValueError("closed")  # as gRPC says it of a channel
            if self._call is None:
                self._channel = self._open()
                self._call = self._channel.unary_unary(self._method)
            return self._call

    def _open(self) -> grpc.Channel:
        # Read at import: without it a forked child that exports hangs.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "true")
        import grpc  # late: it costs memory and start-up time that a service without tracing need not pay

        settings = self._settings
        options = (
            # A receiver that went away without a word is noticed by these, not after the kernel's 15 minutes.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.max_send_message_length", -1),
            # Else all channels to one target share a connection, which outlives each of them.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", _LONGEST_ANSWER),
            # Our own breaker waits; gRPC's waiting on top of it, up to two minutes, would only delay the recovery.
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            # Also the limit of an attempt to connect: one that nobody answers is over after this, not after 20 s.
            ("grpc.min_reconnect_backoff_ms", 5_000),
        )
        compression = grpc.Compression.Gzip if settings.compression == "gzip" else grpc.Compression.NoCompression
        if not self._secure:
            return grpc.insecure_channel(self._target, options=options, compression=compression)
        roots = settings.certificate.read_bytes() if settings.certificate else None
        return grpc.secure_channel(
            self._target, grpc.ssl_channel_credentials(roots), options=options, compression=compression
        )


def _failed(error: Exception, *, closed: bool) -> ExportResult:
    import grpc

    if not isinstance(error, grpc.RpcError):
        # gRPC raises ValueError where `close` has closed the channel meanwhile.
        code = "cancelled" if closed and isinstance(error, ValueError) else _EXCEPTION
        return ExportResult(code=code, detail=f"{type(error).__name__}: {error}"[:_LONGEST_DETAIL])
    # Only errors that are calls as well have these, and gRPC promises it of none.
    code = getattr(_called(error, "code"), "name", "UNKNOWN").lower()
    detail = str(_called(error, "details") or "")[:_LONGEST_DETAIL]
    if code == _RESOURCE_EXHAUSTED and _ANSWER_TOO_LONG.search(detail):
        # The request was not too long, and is accepted: a refusal has no message. Sent again, it would come twice.
        return ExportResult(code="ok", detail="unreadable answer: too long", unreadable=True)
    return ExportResult(
        code=code,
        detail=detail,
        retry_after=_retry_after(_called(error, "trailing_metadata")),
        not_grpc=code == "unimplemented" and _NOT_GRPC in detail,
    )


def _called(error: object, method: str) -> Any:
    try:
        return getattr(error, method)()
    except Exception:
        return None


def _retry_after(metadata: Any) -> float | None:
    """The wait that the status of an answer asks for, in s; None where it asks for none, or cannot be read."""
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
                return float(min(max(0.0, seconds), _LONGEST_WAIT))
    except Exception:  # an answer is foreign input
        return None
    return None


def _accepted(answer: bytes) -> ExportResult:
    if not answer:  # nothing rejected, which is nearly always so
        return ExportResult(code="ok")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        # The answer to logs has the same numbers: partial_success 1, in it the count 1 and the reason 2.
        partial = ExportTraceServiceResponse.FromString(answer).partial_success
    except Exception as error:
        # The status says that the request is accepted. Sent again, all of it would come twice.
        return ExportResult(code="ok", detail=f"unreadable answer: {type(error).__name__}", unreadable=True)
    return ExportResult(code="ok", rejected=partial.rejected_spans, detail=partial.error_message[:_LONGEST_DETAIL])
