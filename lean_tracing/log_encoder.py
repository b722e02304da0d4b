"""Encodes log records as OTLP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from lean_tracing.encoding import Encoder, halve
from lean_tracing.span_encoder import W3C_FLAGS
from lean_tracing.wire import FIXED32, FIXED64, any_value, sized, text, varint

_ATTRIBUTES: Final = b"\x32"
_SCOPE: Final = InstrumentationScope("lean_tracing.logs")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """A log record with the fields of OTLP.

    Times are in ns since 1970, `severity` is from 1 (trace) to 24 (fatal), and an id is 0 if there is none.
    """

    time_ns: int
    severity: int
    severity_text: str
    body: str
    attributes: Mapping[str, object]
    trace_id: int
    span_id: int
    trace_flags: int
    dropped_attributes: int = 0


class LogEncoder(Encoder):
    """Makes an ExportLogsServiceRequest of log entries."""

    _tag = _ATTRIBUTES

    def item(self, item: LogEntry) -> tuple[InstrumentationScope | None, bytes]:
        return _SCOPE, sized(b"\x12", self._entry(item))

    def split(self, payload: bytes) -> tuple[bytes, bytes]:
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

        return halve(
            ExportLogsServiceRequest,
            payload,
            lambda request: [scope.log_records for part in request.resource_logs for scope in part.scope_logs],
        )

    def _entry(self, entry: LogEntry) -> bytes:
        time = FIXED64(entry.time_ns)
        parts = [
            b"\x09" + time,
            b"\x10" + varint(entry.severity),
            text(b"\x1a", entry.severity_text),
            sized(b"\x2a", any_value(self._redactor.text(entry.body))),
            self._attributes.encode(entry.attributes),
        ]
        if entry.dropped_attributes:
            parts.append(b"\x38" + varint(entry.dropped_attributes))
        if entry.trace_id:
            parts += (
                b"\x45" + FIXED32(entry.trace_flags & W3C_FLAGS),
                b"\x4a\x10" + entry.trace_id.to_bytes(16, "big"),
                b"\x52\x08" + entry.span_id.to_bytes(8, "big"),
            )
        parts.append(b"\x59" + time)  # observed_time: when it was written
        return b"".join(parts)
