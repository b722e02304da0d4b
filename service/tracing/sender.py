"""OTLP over gRPC: an export request, already bytes, and what the receiver said to it."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from service.tracing.config import TracingSettings

if TYPE_CHECKING:
    import grpc

TRACES: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS: Final = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

# The codes after which OTLP allows another try; all others say that the same request will fail again.
_RETRYABLE: Final = frozenset(
    {
        "CANCELLED",
        "DEADLINE_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNAVAILABLE",
        "DATA_LOSS",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a request. `code` is gRPC's, in lower case; `rejected` counts items of an accepted request."""

    code: str
    rejected: int = 0
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Accepted, apart from what was rejected."""
        return self.code == "ok"

    @property
    def retryable(self) -> bool:
        """Another try may succeed."""
        return self.code.upper() in _RETRYABLE


class Sender:
    """Sends to one method of the receiver. The channel is made with the first request, again after a fork."""

    def __init__(self, settings: TracingSettings, method: str) -> None:
        self._settings = settings
        self._method = method
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._call: grpc.UnaryUnaryMultiCallable[bytes, bytes] | None = None
        self._headers = tuple((name, value.get_secret_value()) for name, value in settings.headers.items())

    def send(self, payload: bytes, seconds: float) -> Answer:
        """One request within a time limit; never raises for what the network or the receiver does."""
        import grpc  # late: it costs memory and start-up time that a service without tracing need not pay

        try:
            answer = self._connect()(payload, timeout=seconds, metadata=self._headers)
        except grpc.RpcError as error:
            return Answer(code=error.code().name.lower(), detail=str(error.details())[:200])
        except ValueError as error:  # gRPC's word for a channel that `close` has closed meanwhile
            return Answer(code="cancelled", detail=str(error)[:200])
        return _accepted(answer)

    def close(self) -> None:
        """Ends the connection; a request under way ends as cancelled."""
        with self._lock:
            channel, self._channel, self._call = self._channel, None, None
        if channel is not None:
            channel.close()

    def forget(self) -> None:
        """After a fork, in the child: the connection is the parent's."""
        self._lock = threading.Lock()
        self._channel = self._call = None

    def _connect(self) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
        with self._lock:
            if self._call is None:
                self._channel = self._open()
                self._call = self._channel.unary_unary(self._method)
            return self._call

    def _open(self) -> grpc.Channel:
        # Read at import: without it a forked child that exports hangs.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "true")
        import grpc

        settings = self._settings
        url = urlsplit(settings.endpoint)
        secure = url.scheme == "https"
        target = f"{url.hostname if ':' not in (url.hostname or '') else f'[{url.hostname}]'}:{url.port or 4317}"
        options = (
            # A receiver that went away without a word is noticed by these, not after the kernel's 15 minutes.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.max_send_message_length", -1),
            # Our own breaker waits; gRPC's waiting on top of it, up to two minutes, would only delay the recovery.
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 1_000),
        )
        compression = grpc.Compression.Gzip if settings.compression == "gzip" else grpc.Compression.NoCompression
        if not secure:
            return grpc.insecure_channel(target, options=options, compression=compression)
        roots = settings.certificate.read_bytes() if settings.certificate else None
        return grpc.secure_channel(
            target, grpc.ssl_channel_credentials(roots), options=options, compression=compression
        )


def _accepted(answer: bytes) -> Answer:
    if not answer:  # nothing rejected, which is nearly always so
        return Answer(code="ok")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    # The answer to logs has the same numbers: partial_success 1, in it the count 1 and the reason 2.
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    return Answer(code="ok", rejected=partial.rejected_spans, detail=partial.error_message[:200])
