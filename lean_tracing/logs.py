"""Structured logs with the ids of the current trace and span: JSON on stdout, and OTLP on request."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from opentelemetry import trace

from lean_tracing import propagation
from lean_tracing.log_encoder import LogEntry
from lean_tracing.redaction import MAX_TEXT, REDACTED, Redactor, snapshot

_STANDARD_FIELDS = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "asctime",
    "color_message",
    "message",
    "taskName",
}
# Log records of the export itself are not exported, because a failing export would feed itself.
_NOT_EXPORTED = ("lean_tracing", "grpc")
_FORMATTER = logging.Formatter()


def _extra(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    """The fields that a caller added, as simple values."""
    for name, value in record.__dict__.items():
        if name not in _STANDARD_FIELDS:
            yield name, value if value is None or isinstance(value, (str, int, float, bool)) else _text_of(value)


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception:  # a field that cannot be read must not cost the whole record
        return REDACTED


class JsonFormatter(logging.Formatter):
    """Formats a record, its `extra` fields included; personal data and secrets are redacted everywhere."""

    def __init__(self, service_name: str, redactor: Redactor) -> None:
        super().__init__()
        self._service_name = service_name
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON, without a line break."""
        entry: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "severity": record.levelname,
            "message": self._redactor.text(record.getMessage()),
            "logger": record.name,
            "service.name": self._service_name,
        }
        span_context = trace.get_current_span().get_span_context()
        if span_context.is_valid:
            entry["trace_id"] = trace.format_trace_id(span_context.trace_id)
            entry["span_id"] = trace.format_span_id(span_context.span_id)
        if correlation := propagation.correlation_id():
            entry["correlation_id"] = correlation
        for name, value in _extra(record):
            entry[name] = self._redactor.named(name, value)
        if record.exc_info:
            entry["exception"] = self._redactor.text(self.formatException(record.exc_info))
        return json.dumps(entry)


class OtlpHandler(logging.Handler):
    """Passes records on as OTLP log entries, which the encoder redacts. Never blocks, never raises."""

    def __init__(self, put: Callable[[LogEntry], None], attributes: int = 128) -> None:
        """Creates a handler.

        Args:
            put: takes each entry.
            attributes: the largest number of attributes of an entry.
        """
        super().__init__()
        self._put = put
        self._limit = attributes

    def emit(self, record: logging.LogRecord) -> None:
        """Formats the text and reads the context, which belong to the thread that logs."""
        if record.name.startswith(_NOT_EXPORTED):
            return
        try:
            span = trace.get_current_span().get_span_context()
            attributes: dict[str, object] = {"logger.name": record.name}
            if correlation := propagation.correlation_id():
                attributes["correlation_id"] = correlation
            if record.exc_info and record.exc_info[0] is not None:
                attributes["exception.type"] = record.exc_info[0].__qualname__
                attributes["exception.stacktrace"] = snapshot(_FORMATTER.formatException(record.exc_info), MAX_TEXT)
            # The encoder redacts MAX_TEXT characters and cuts the rest, so a longer text need not be kept.
            for name, value in _extra(record):
                attributes.setdefault(name, snapshot(value, MAX_TEXT))
            dropped = max(0, len(attributes) - self._limit)
            self._put(
                LogEntry(
                    time_ns=int(record.created * 1e9),
                    severity=_severity(record.levelno),
                    severity_text=record.levelname,
                    body=str(snapshot(record.getMessage(), MAX_TEXT)),
                    attributes=dict(islice(attributes.items(), self._limit)) if dropped else attributes,
                    dropped_attributes=dropped,
                    trace_id=span.trace_id,
                    span_id=span.span_id,
                    trace_flags=int(span.trace_flags),
                )
            )
        except Exception:
            self.handleError(record)


def _severity(level: int) -> int:
    """OTLP's number: DEBUG 5, INFO 9, WARNING 13, ERROR 17, CRITICAL 21."""
    return max(1, min(24, level * 4 // 10 + 1)) if level > 0 else 0


def configure_logging(level: str, service_name: str, redactor: Redactor, otlp: logging.Handler | None = None) -> None:
    """Sends all logging of this process to stdout as JSON, and also to the handler `otlp` if there is one."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service_name, redactor))
    logging.basicConfig(level=level, handlers=[handler, *([otlp] if otlp else [])], force=True)
    # The span of a request shows more than its line in the log.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # Their warnings quote whole headers of a peer; the trace itself shows that a context is missing.
    logging.getLogger("opentelemetry.baggage").setLevel(logging.ERROR)
    logging.getLogger("opentelemetry.trace.span").setLevel(logging.ERROR)
