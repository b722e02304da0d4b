"""Traces SQLAlchemy: a CLIENT span for each statement, and for each COMMIT or ROLLBACK of a transaction that wrote.

Spans show no parameters. A transaction that wrote waits at its end for the disk and the replicas, so its end has a
span. A transaction that only read has nothing to wait for. The time that a connection was waited for is an attribute of
its first statement.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import Span, Status, StatusCode
from sqlalchemy import Engine
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from lean_tracing import attributes as keys
from lean_tracing.cardinality import CardinalityLimit
from lean_tracing.failures import is_failure
from lean_tracing.pool_statistics import PoolStatistics
from lean_tracing.shared_attributes import SharedAttributes
from lean_tracing.span import CLIENT
from lean_tracing.spans import TraceManager
from lean_tracing.sql import MAX_STATEMENT, sanitize, summarize

if TYPE_CHECKING:  # its import needs greenlet
    from sqlalchemy.ext.asyncio import AsyncEngine

_STATISTICS = "_tracing_statistics"
# What is noted of a connection, in its `__dict__`, until it returns to the pool. Its `info` is for the same, but lasts
# longer, and takes a microsecond.
_WAITED = "_tracing_waited_ms"
_WROTE = "_tracing_wrote"
_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}
_READS = frozenset(
    {"EXPLAIN", "FETCH", "PRAGMA", "RELEASE", "ROLLBACK", "SAVEPOINT", "SELECT", "SET", "SHOW", "VALUES"}
)
_MAX_STATEMENTS = 512
_MAX_TABLES = 256
# A shorter wait is only the cost of taking a free connection.
_MIN_WAIT = 0.001  # seconds


@dataclass(frozen=True, slots=True)
class _Statement:
    """The part of a span that is the same each time a statement runs."""

    name: str
    attributes: SharedAttributes
    writes: bool


def instrument_engine(engine: "Engine | AsyncEngine", traces: TraceManager) -> PoolStatistics:
    """Makes `engine` make a span for each statement it runs. A second call changes nothing.

    Returns:
        The metrics of its pool, for Prometheus' registry.
    """
    if not isinstance(engine, Engine):
        engine = engine.sync_engine
    known: PoolStatistics | None = getattr(engine.dialect, _STATISTICS, None)
    if known is not None:
        return known
    statistics = PoolStatistics(engine)
    setattr(engine.dialect, _STATISTICS, statistics)
    _EngineTracing(engine, traces, statistics).install()
    return statistics


class _EngineTracing:
    def __init__(self, engine: Engine, traces: TraceManager, statistics: PoolStatistics) -> None:
        self._engine = engine
        self._traces = traces
        self._statistics = statistics
        self._dialect = engine.dialect.name
        self._fixed: dict[str, str | int] = {
            keys.DB_SYSTEM_NAME: _SYSTEMS.get(self._dialect, self._dialect),
            **({keys.DB_NAMESPACE: engine.url.database} if engine.url.database else {}),
            **({keys.SERVER_ADDRESS: engine.url.host} if engine.url.host else {}),
            **({keys.SERVER_PORT: engine.url.port} if engine.url.port else {}),
        }
        # An application has few statements, and runs each of them often.
        self._statements: dict[str, _Statement] = {}
        self._has_autocommit: bool | None = None
        # Names of spans become label values, and some applications create tables while they run.
        self._tables = CardinalityLimit(_MAX_TABLES, "")

    def install(self) -> None:
        # Wraps the dialect's calls of the driver instead of listening to events. With listeners, an engine builds
        # dispatchers for each connection, which costs 25 us a transaction, and it has no event for the end of a commit.
        dialect: Any = self._engine.dialect
        dialect.do_execute = self._executing(dialect.do_execute)
        dialect.do_executemany = self._executing(dialect.do_executemany, many=True)
        dialect.do_execute_no_params = self._executing_alone(dialect.do_execute_no_params)
        dialect.do_commit = self._ending("COMMIT", dialect.do_commit)
        dialect.do_rollback = self._ending("ROLLBACK", dialect.do_rollback)
        engine: Any = self._engine
        engine.raw_connection = self._connecting(engine.raw_connection)

    def _describe(self, statement: str) -> _Statement:
        text = sanitize(statement, self._dialect)
        operation, table = summarize(text or statement.lstrip()[:16].partition(" ")[0])
        name = f"{operation} {self._tables(table)}".strip() or str(self._fixed[keys.DB_SYSTEM_NAME])
        attributes = {**self._fixed, keys.DB_QUERY_SUMMARY: name}
        if operation:
            attributes[keys.DB_OPERATION_NAME] = operation
        if table:
            attributes[keys.DB_COLLECTION_NAME] = table
        if text:
            attributes[keys.DB_QUERY_TEXT] = text
        described = _Statement(name, SharedAttributes(attributes), operation not in _READS)
        if len(self._statements) >= _MAX_STATEMENTS:
            self._statements.clear()
        if len(statement) <= MAX_STATEMENT:
            self._statements[statement] = described
        return described

    def _executing(self, execute: Callable[..., None], *, many: bool = False) -> Callable[..., None]:
        statements = self._statements
        start = self._traces.start
        waited_ms, rows_affected = self._traces.own.db_pool_wait_ms, self._traces.own.db_rows_affected
        sqlite = self._dialect == "sqlite"

        def run(cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
            try:
                noted = context.root_connection.connection.__dict__
            except AttributeError:  # the dialect itself queries a new connection
                execute(cursor, statement, parameters, context)
                return
            described = statements.get(statement) or self._describe(statement)
            if described.writes:
                noted[_WROTE] = True
            span = start(described.name, kind=CLIENT, attributes=described.attributes)
            if _WAITED in noted:
                span.set_attribute(waited_ms, noted.pop(_WAITED))
            if many:
                span.set_attribute(keys.DB_OPERATION_BATCH_SIZE, len(parameters))
            try:
                execute(cursor, statement, parameters, context)
            except BaseException as error:
                _fail(span, error)
                raise
            rows = getattr(cursor, "rowcount", None)
            # SQLite counts the rows of `INSERT ... RETURNING` while they are read; the count is still 0 here.
            is_counted = not (sqlite and rows == 0 and cursor.description)
            if isinstance(rows, int) and rows >= 0 and is_counted:
                span.set_attribute(rows_affected, rows)
            span.end()

        return run

    def _executing_alone(self, execute: Callable[..., None]) -> Callable[..., None]:
        """The same for statements without parameters."""
        run = self._executing(lambda cursor, statement, _parameters, context: execute(cursor, statement, context))
        return lambda cursor, statement, context=None: run(cursor, statement, None, context)

    def _ending(self, name: str, end: Callable[[Any], None]) -> Callable[[Any], None]:
        attributes = SharedAttributes({**self._fixed, keys.DB_OPERATION_NAME: name, keys.DB_QUERY_SUMMARY: name})
        start = self._traces.start

        def run(dbapi_connection: Any) -> None:
            try:
                wrote = dbapi_connection.__dict__.pop(_WROTE, False)
            except AttributeError:  # a connection that is not in the pool yet
                wrote = False
            # With autocommit each statement was its own transaction, and this call does nothing.
            if not wrote or (self._knows_autocommit(dbapi_connection) and dbapi_connection.autocommit is True):
                end(dbapi_connection)
                return
            span = start(name, kind=CLIENT, attributes=attributes)
            try:
                end(dbapi_connection)
            except BaseException as error:
                _fail(span, error)
                raise
            span.end()

        return run

    def _knows_autocommit(self, dbapi_connection: Any) -> bool:
        """Whether the engine's driver has this attribute. If it has not, the attempt to read it takes microseconds."""
        if self._has_autocommit is None:
            self._has_autocommit = hasattr(dbapi_connection, "autocommit")
        return self._has_autocommit

    def _connecting(self, connect: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            started = time.perf_counter()
            try:
                connection = connect()
            except PoolTimeoutError:
                self._statistics.timed_out()
                raise
            seconds = time.perf_counter() - started
            self._statistics.waited(seconds)
            if seconds >= _MIN_WAIT:
                connection.__dict__[_WAITED] = round(seconds * 1000, 3)
            return connection

        return run


def _fail(span: Span, error: BaseException) -> None:
    """Ends `span` as failed. A driver's message quotes the row, so only the error's type and code are recorded."""
    name = type(error).__name__
    span.set_attribute(keys.ERROR_TYPE, name)
    # psycopg and asyncpg, psycopg2, sqlite3
    for attribute in ("sqlstate", "pgcode", "sqlite_errorname"):
        if code := getattr(error, attribute, None):
            span.set_attribute(keys.DB_RESPONSE_STATUS_CODE, str(code))
            break
    if is_failure(error):  # a statement that was cancelled has not failed
        span.set_status(Status(StatusCode.ERROR, name))
    span.end()
