"""Tracing of SQLAlchemy through its events: one CLIENT span a statement, its parameters never recorded."""

from __future__ import annotations

import functools
import re
from typing import Any

from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

from service.tracing import attributes as keys
from service.tracing.spans import TraceManager

_SPAN = "_tracing_span"
_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}
_TABLE = re.compile(
    r"""\b(?:INTO|UPDATE|FROM|JOIN|TABLE(?:\s+IF(?:\s+NOT)?\s+EXISTS)?)\s+(?:ONLY\s+)?([\w."`\[\]]+)""", re.IGNORECASE
)


@functools.lru_cache(maxsize=512)  # an application has few statements and runs them often
def summarize(statement: str) -> tuple[str, str]:
    """(operation, table) of a statement, table "" where it has none: ("INSERT", "web_crawl_tasks")."""
    words = statement.split(None, 1)
    operation = words[0].upper() if words else ""
    table = _TABLE.search(statement)
    return operation, table.group(1).strip('"`[]').rpartition(".")[2].strip('"`[]') if table else ""


def instrument_engine(engine: Engine, traces: TraceManager) -> None:
    """Makes `engine` report a span for each statement it runs."""
    fixed: dict[str, str | int] = {
        keys.DB_SYSTEM_NAME: _SYSTEMS.get(engine.dialect.name, engine.dialect.name),
        **({keys.DB_NAMESPACE: engine.url.database} if engine.url.database else {}),
        **({keys.SERVER_ADDRESS: engine.url.host} if engine.url.host else {}),
        **({keys.SERVER_PORT: engine.url.port} if engine.url.port else {}),
    }

    def before(
        _connection: Connection, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool
    ) -> None:
        operation, table = summarize(statement)
        name = f"{operation} {table}".strip()
        attributes = {**fixed, keys.DB_OPERATION_NAME: operation, keys.DB_QUERY_SUMMARY: name}
        if table:
            attributes[keys.DB_COLLECTION_NAME] = table
        if getattr(context, "compiled", None) is not None:
            # Only a compiled statement has its values in parameters; a raw one may spell them out.
            attributes[keys.DB_QUERY_TEXT] = statement
        setattr(context, _SPAN, traces.start(name, kind=SpanKind.CLIENT, attributes=attributes))

    def after(
        _connection: Connection, cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool
    ) -> None:
        span: Span | None = getattr(context, _SPAN, None)
        if span is not None:
            if (rows := getattr(cursor, "rowcount", -1)) >= 0:
                span.set_attribute(keys.DB_ROWS_AFFECTED, rows)
            span.end()

    def failed(failure: ExceptionContext) -> None:
        span: Span | None = getattr(failure.execution_context, _SPAN, None)
        if span is None or not span.is_recording():
            return
        # The driver's message quotes the row that failed, so only its type and code are kept.
        original = failure.original_exception
        span.set_status(Status(StatusCode.ERROR, type(original).__name__))
        span.set_attribute(keys.ERROR_TYPE, type(original).__name__)
        if code := getattr(original, "sqlstate", None):
            span.set_attribute(keys.DB_RESPONSE_STATUS_CODE, str(code))
        span.end()

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    event.listen(engine, "handle_error", failed)
