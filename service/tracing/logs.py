"""Structured logs with the ids of the trace and span they were written in: JSON on stdout, and OTLP if wanted."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from opentelemetry import trace

from service.tracing import propagation
from service.tracing.log_encoder import LogEntry
from service.tracing.redaction import MAX_TEXT, REDACTED, Redactor, snapshot

_STANDARD_FIELDS = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "asctime",
    "color_message",
    "message",
    "taskName",
}
# What the export writes about itself must not be exported, or a failing export feeds itself.
_NOT_EXPORTED = ("service.tracing", "grpc")
_FORMATTER = logging.Formatter()


def _extra(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    """The fields a caller added, as simple values."""
    for name, value in record.__dict__.items():
        if name not in _STANDARD_FIELDS:
            yield name, value if value is None or isinstance(value, (str, int, float, bool)) else _text_of(value)


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception:  # the record is worth more than one of its fields
        return REDACTED


class JsonFormatter(logging.Formatter):
    """Formats a record, its `extra` fields included; personal data and secrets are masked everywhere."""

    def __init__(self, service_name: str, redactor: Redactor) -> None:
        super().__init__()
        self._service_name = service_name
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON, without the line's end."""
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
    """Hands records over as OTLP log entries; they are masked where they are encoded. Never blocks, never raises."""

    def __init__(self, put: Callable[[LogEntry], None], attributes: int = 128) -> None:
        """attributes: of one record, at most."""
        super().__init__()
        self._put = put
        self._limit = attributes

    def emit(self, record: logging.LogRecord) -> None:
        """Takes what belongs to the writing thread now: the text and the context."""
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
            # No more is kept until the export than is masked there.
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
    """Sends all logging of this process to stdout as JSON, and to `otlp` as well if there is such a handler."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service_name, redactor))
    logging.basicConfig(level=level, handlers=[handler, *([otlp] if otlp else [])], force=True)
    # A line a request says less than its span does.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # These two quote what a peer sent, whole; their absence of context is visible in the trace itself.
    logging.getLogger("opentelemetry.baggage").setLevel(logging.ERROR)
    logging.getLogger("opentelemetry.trace.span").setLevel(logging.ERROR)
