"""Tasks in Postgres (or SQLite, for development and tests): the ports' database side."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy import (
    Connection,
    Engine,
    Insert,
    Row,
    bindparam,
    case,
    create_engine,
    func,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from contracts.tasks import Position, TaskStatus
from service.common.errors import Unavailable
from service.task_manager import migrations
from service.task_manager.domain import Task
from service.task_manager.schema import tasks as _tasks
from service.tracing import TraceManager
from service.tracing.sqlalchemy import instrument_engine

_CONNECT_SECONDS = 2


def build_engine(url: str, traces: TraceManager | None = None, registry: CollectorRegistry | None = None) -> Engine:
    """An engine, traced where `traces` are given, its pool's use in `registry`; connects when first used."""
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
    if traces is not None:
        pool = instrument_engine(engine, traces)
        if registry is not None:
            registry.register(pool)
    return engine


@contextmanager
def _unavailable_when_away() -> Iterator[None]:
    """What is not the data's own fault is the database's: away, full, read-only, without its table. All that passes."""
    try:
        yield
    except (DataError, IntegrityError):
        raise
    except (DBAPIError, PoolTimeout) as error:
        raise Unavailable(f"The database is unavailable ({_kind(error)})") from error


def _kind(error: Exception) -> str:
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__


# Built once: for a message handled, building statements anew costs more than all of its tracing.
_by_id = select(_tasks).where(_tasks.c.id == bindparam("task_id"))
_by_id_locked = _by_id.with_for_update()
_change = update(_tasks).where(_tasks.c.id == bindparam("task_id"))
# ON CONFLICT is no standard SQL: each dialect has its own. Asked for its id, because SQLAlchemy does not tell the row
# count of an INSERT on Postgres.
_adds: dict[str, Insert] = {
    "postgresql": postgresql.insert(_tasks).on_conflict_do_nothing().returning(_tasks.c.id),
    "sqlite": sqlite.insert(_tasks).on_conflict_do_nothing().returning(_tasks.c.id),
}
_columns = tuple(column.key for column in _tasks.columns)
_newest_first = select(_tasks).order_by(_tasks.c.created_at.desc(), _tasks.c.id.desc())
_place = tuple_(_tasks.c.created_at, _tasks.c.id)


class SqlTaskRepository:
    """Tasks, on a connection that is in a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, task: Task) -> bool:
        """See `TaskRepository`. One statement, so no second writer can come in between."""
        values = {name: getattr(task, name) for name in _columns}
        return self._connection.execute(_adds[self._connection.dialect.name], values).one_or_none() is not None

    def get(self, task_id: uuid.UUID, *, for_update: bool = False) -> Task | None:
        """See `TaskRepository`."""
        row = self._connection.execute(_by_id_locked if for_update else _by_id, {"task_id": task_id}).one_or_none()
        return _task(row) if row else None

    def update(self, task: Task) -> None:
        """See `TaskRepository`."""
        changes = {"status": task.status, "result": task.result, "updated_at": task.updated_at}
        self._connection.execute(_change, {"task_id": task.id, **changes})

    def list(self, *, limit: int, after: Position | None = None, status: TaskStatus | None = None) -> Sequence[Task]:
        """See `TaskRepository`."""
        query = _newest_first.limit(limit)
        if status:
            query = query.where(_tasks.c.status == status)
        if after:
            query = query.where(_place < after)
        return [_task(row) for row in self._connection.execute(query)]

    def count_by_status(self, since: Sequence[datetime]) -> Sequence[Mapping[TaskStatus, int]]:
        """See `TaskRepository`. One pass over the index, no further back than the earliest time."""
        counts = [func.sum(case((_tasks.c.created_at >= time, 1), else_=0)) for time in since]
        # The list of statuses gives a search in the index for each, instead of a scan of all of it.
        query = (
            select(_tasks.c.status, *counts)
            .where(_tasks.c.status.in_(list(TaskStatus)), _tasks.c.created_at >= min(since))
            .group_by(_tasks.c.status)
        )
        rows = {TaskStatus(row[0]): row[1:] for row in self._connection.execute(query)}
        nothing = (0,) * len(since)
        return [
            {status: int(rows.get(status, nothing)[number]) for status in TaskStatus} for number in range(len(since))
        ]

    def oldest(self, status: TaskStatus) -> datetime | None:
        """See `TaskRepository`. The first entry of the index."""
        created = self._connection.scalar(select(func.min(_tasks.c.created_at)).where(_tasks.c.status == status))
        return created.replace(tzinfo=created.tzinfo or UTC) if created else None


def _task(row: Row[Any]) -> Task:
    values = {column.key: row._mapping[column] for column in _tasks.columns}
    values["status"] = TaskStatus(values["status"])
    for name in ("created_at", "updated_at"):
        if values[name].tzinfo is None:  # SQLite forgets the zone; all times are stored in UTC
            values[name] = values[name].replace(tzinfo=UTC)
    return Task(**values)


class SqlUnitOfWork:
    """Transactions on an engine, and the schema they need."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._migrated = False

    @contextmanager
    def begin(self) -> Iterator[SqlTaskRepository]:
        """See `UnitOfWork`."""
        if not self._migrated:
            self.ensure_schema()
        try:
            with _unavailable_when_away(), self._engine.begin() as connection:
                yield SqlTaskRepository(connection)
        except Unavailable as error:
            # It may come back as another one: empty, restored, or a standby that took over while connections to the
            # old one still answer.
            self._migrated = False
            if isinstance(error.__cause__, DBAPIError):
                self._engine.dispose()
            raise

    def ensure_schema(self) -> None:
        """Brings the schema up to date. Raises Unavailable."""
        with _unavailable_when_away():
            migrations.upgrade(self._engine)
        self._migrated = True

    def check(self) -> None:
        """Raises when the database does not answer, or has no schema and can be given none.

        Readiness comes from here: ready before the schema, the first requests would wait for it, or fail.
        """
        if not self._migrated:
            self.ensure_schema()
            return
        with self._engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def start(self) -> None:
        """Nothing to do: the engine connects when first used."""

    def stop(self) -> None:
        """Closes the pool."""
        self._engine.dispose()
