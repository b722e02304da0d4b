"""Tasks in Postgres (or SQLite, in tests): the table, and the ports' database side."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    DateTime,
    Engine,
    Index,
    Insert,
    MetaData,
    Row,
    String,
    Table,
    Text,
    Uuid,
    create_engine,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.common.errors import Unavailable
from service.task_manager.domain import Task, TaskStatus
from service.tracing import TraceManager
from service.tracing.sqlalchemy import instrument_engine

_metadata = MetaData()
_tasks = Table(
    "web_crawl_tasks",
    _metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_email", String(254), nullable=False),
    Column("user_query", Text, nullable=False),
    Column("original_url", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("result", JSON().with_variant(postgresql.JSONB(), "postgresql")),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    # The two ways tasks are listed: all, and by status; the counts use the second as well.
    Index("web_crawl_tasks_created", "created_at", "id"),
    Index("web_crawl_tasks_status_created", "status", "created_at", "id"),
)
# Any number that nobody else locks: "webcrawl" in ASCII.
_SCHEMA_LOCK = int.from_bytes(b"webcrawl")
_CONNECT_SECONDS = 2


def build_engine(url: str, traces: TraceManager) -> Engine:
    """A traced engine; connects when first used."""
    options: dict[str, Any] = {}
    if url.startswith("postgresql"):
        options = {
            "pool_size": 5,
            "max_overflow": 5,
            "pool_timeout": 5,
            # A server that went away and came back costs no failed request.
            "pool_pre_ping": True,
            "connect_args": {
                "connect_timeout": _CONNECT_SECONDS,
                # A database that vanished without a word is noticed within 5 s, not after the kernel's 15 minutes.
                "tcp_user_timeout": 5000,
                "options": "-c statement_timeout=10000",
            },
        }
    # hide_parameters: the text of an error must not quote a user.
    engine = create_engine(url, hide_parameters=True, **options)
    instrument_engine(engine, traces)
    return engine


@contextmanager
def _unavailable_when_away() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise Unavailable(f"the database is away ({type(error).__name__})") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Unavailable("the database closed the connection") from error
        raise


class SqlTaskRepository:
    """Tasks, on a connection that is in a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, task: Task) -> bool:
        """See `TaskRepository`. One statement, so no second writer can come in between."""
        values = {column.name: getattr(task, column.name) for column in _tasks.columns}
        # ON CONFLICT is no standard SQL: each dialect has its own.
        statement: Insert = (
            postgresql.insert(_tasks).values(values).on_conflict_do_nothing()
            if self._connection.dialect.name == "postgresql"
            else sqlite.insert(_tasks).values(values).on_conflict_do_nothing()
        )
        # Asked for its id, because SQLAlchemy does not tell the row count of an INSERT on Postgres.
        return self._connection.execute(statement.returning(_tasks.c.id)).one_or_none() is not None

    def get(self, task_id: uuid.UUID, *, for_update: bool = False) -> Task | None:
        """See `TaskRepository`."""
        query = select(_tasks).where(_tasks.c.id == task_id)
        row = self._connection.execute(query.with_for_update() if for_update else query).one_or_none()
        return _task(row) if row else None

    def update(self, task: Task) -> None:
        """See `TaskRepository`."""
        changes = {"status": task.status, "result": task.result, "updated_at": task.updated_at}
        self._connection.execute(update(_tasks).where(_tasks.c.id == task.id).values(changes))

    def list(self, *, limit: int, offset: int, status: TaskStatus | None = None) -> Sequence[Task]:
        """See `TaskRepository`."""
        query = select(_tasks).order_by(_tasks.c.created_at.desc(), _tasks.c.id.desc()).limit(limit).offset(offset)
        if status:
            query = query.where(_tasks.c.status == status)
        return [_task(row) for row in self._connection.execute(query)]

    def count_by_status(self) -> Mapping[TaskStatus, int]:
        """See `TaskRepository`."""
        rows = self._connection.execute(select(_tasks.c.status, func.count()).group_by(_tasks.c.status))
        return dict.fromkeys(TaskStatus, 0) | {TaskStatus(status): count for status, count in rows}


def _task(row: Row[Any]) -> Task:
    values = dict(row._mapping)
    values["status"] = TaskStatus(values["status"])
    for name in ("created_at", "updated_at"):
        if values[name].tzinfo is None:  # SQLite forgets the zone; all times are stored in UTC
            values[name] = values[name].replace(tzinfo=UTC)
    return Task(**values)


class SqlUnitOfWork:
    """Transactions on an engine, and the schema they need."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def begin(self) -> Iterator[SqlTaskRepository]:
        """See `UnitOfWork`."""
        with _unavailable_when_away(), self._engine.begin() as connection:
            yield SqlTaskRepository(connection)

    def ensure_schema(self) -> None:
        """Creates what is missing. Raises Unavailable."""
        with _unavailable_when_away(), self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # Several replicas start at once, and CREATE TABLE IF NOT EXISTS alone still collides.
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})
            _metadata.create_all(connection)

    def check(self) -> None:
        """Raises when the database does not answer."""
        with self._engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def start(self) -> None:
        """Nothing to do: the engine connects when first used."""

    def stop(self) -> None:
        """Closes the pool."""
        self._engine.dispose()
