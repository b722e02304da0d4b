"""Structured logs: one JSON object a line on stdout, with the ids of the trace and span they were written in."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace

from service.tracing import propagation
from service.tracing.masking import Masker

_STANDARD_FIELDS = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "asctime",
    "color_message",
    "message",
    "taskName",
}


class JsonFormatter(logging.Formatter):
    """Formats a record, its `extra` fields included; personal data and secrets are masked everywhere."""

    def __init__(self, service_name: str, masker: Masker) -> None:
        super().__init__()
        self._service_name = service_name
        self._masker = masker

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON, without the line's end."""
        entry: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "severity": record.levelname,
            "message": self._masker.text(record.getMessage()),
            "logger": record.name,
            "service.name": self._service_name,
        }
        span_context = trace.get_current_span().get_span_context()
        if span_context.is_valid:
            entry["trace_id"] = trace.format_trace_id(span_context.trace_id)
            entry["span_id"] = trace.format_span_id(span_context.span_id)
        if correlation := propagation.correlation_id():
            entry["correlation_id"] = correlation
        for name, value in record.__dict__.items():
            if name not in _STANDARD_FIELDS:
                simple = value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
                entry[name] = self._masker.named(name, simple)
        if record.exc_info:
            entry["exception"] = self._masker.text(self.formatException(record.exc_info))
        return json.dumps(entry)


def configure_logging(level: str, service_name: str, masker: Masker) -> None:
    """Sends all logging of this process to stdout as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service_name, masker))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # A line a request says less than its span does.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # These two quote what a peer sent, whole; their absence of context is visible in the trace itself.
    logging.getLogger("opentelemetry.baggage").setLevel(logging.ERROR)
    logging.getLogger("opentelemetry.trace.span").setLevel(logging.ERROR)
