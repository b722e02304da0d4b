"""The database adapters of the task-manager: Postgres, or SQLite for development and tests."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Insert,
    Row,
    bindparam,
    case,
    create_engine,
    delete,
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
from lean_tracing import TraceManager
from lean_tracing.sqlalchemy import instrument_engine
from service.common.errors import Unavailable
from service.task_manager import migrations
from service.task_manager.domain import Task
from service.task_manager.schema import IS_SYNTHETIC
from service.task_manager.schema import tasks as _tasks

_CONNECT_SECONDS = 2
_LONGEST_MESSAGE = 200
_SESSION = {
    "statement_timeout": "10s",
    # The server ends the session of a client that disappears from the network after 11 s, and releases its locks. By
    # default it takes two hours, and the tasks whose rows are locked wait for so long.
    "tcp_keepalives_idle": "5s",
    "tcp_keepalives_interval": "2s",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
}
"""Settings of the server for this client's sessions."""


def build_engine(url: str, traces: TraceManager | None = None, registry: CollectorRegistry | None = None) -> Engine:
    """An engine that connects at its first use. traces: traces its statements. registry: gets the pool's metrics."""
    options: dict[str, Any] = {}
    if url.startswith("postgresql"):
        options = {
            "pool_size": 5,
            "max_overflow": 5,
            "pool_timeout": 5,
            # A restarted server fails no request.
            "pool_pre_ping": True,
            "connect_args": {
                "connect_timeout": _CONNECT_SECONDS,
                # A server that disappears from the network is detected within 5 s, not after the kernel's 15 minutes.
                "tcp_user_timeout": 5000,
                "options": " ".join(f"-c {name}={value}" for name, value in _SESSION.items()),
            },
        }
    # hide_parameters: an error's text must not quote a user's data.
    engine = create_engine(url, hide_parameters=True, **options)
    if traces is not None:
        pool = instrument_engine(engine, traces)
        if registry is not None:
            registry.register(pool)
    return engine


@contextmanager
def _as_unavailable() -> Iterator[None]:
    """Raises Unavailable for the errors of the database itself: down, full, read-only, without its table.

    All of these can pass. An error of the data cannot, and is raised unchanged.
    """
    try:
        yield
    except (DataError, IntegrityError):
        raise
    except (DBAPIError, PoolTimeout) as error:
        raise Unavailable("The database is unavailable", _reason(error)) from error


def _reason(error: Exception) -> str:
    """The kind, the code and the server's message: `OperationalError: FATAL: sorry, too many clients already`.

    A refused connection has no code: the driver gives it to statements alone. The message of the driver has neither the
    statement nor its parameters, and no password.
    """
    kind = type(error).__name__
    cause = getattr(error, "orig", None)
    if cause is None:
        return kind
    code = getattr(cause, "sqlstate", None)
    # After the first line come details and advice; before the reason come the addresses that were tried.
    line = str(cause).partition("\n")[0].rpartition(" failed: ")[2]
    message = " ".join(line.split())[:_LONGEST_MESSAGE]
    return f"{kind} {code}: {message}" if code else f"{kind}: {message}"


# Built once: building the statements of one message costs more than all of its tracing.
_by_id = select(_tasks).where(_tasks.c.id == bindparam("task_id"))
_by_id_locked = _by_id.with_for_update()
_change = update(_tasks).where(_tasks.c.id == bindparam("task_id"))
# ON CONFLICT is no standard SQL: each dialect has its own. The statement returns the id, because SQLAlchemy has no row
# count of an INSERT on Postgres.
_inserts: dict[str, Insert] = {
    "postgresql": postgresql.insert(_tasks).on_conflict_do_nothing().returning(_tasks.c.id),
    "sqlite": sqlite.insert(_tasks).on_conflict_do_nothing().returning(_tasks.c.id),
}
_columns = tuple(column.key for column in _tasks.columns)
_newest_first = select(_tasks).order_by(_tasks.c.created_at.desc(), _tasks.c.id.desc())
_position = tuple_(_tasks.c.created_at, _tasks.c.id)


class SqlTaskRepository:
    """Tasks, on a connection that is in a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, task: Task) -> bool:
        """Add the task in one statement, so that no other transaction can add it in between."""
        values = {name: getattr(task, name) for name in _columns}
        return self._connection.execute(_inserts[self._connection.dialect.name], values).one_or_none() is not None

    def get(self, task_id: uuid.UUID, *, for_update: bool = False) -> Task | None:
        row = self._connection.execute(_by_id_locked if for_update else _by_id, {"task_id": task_id}).one_or_none()
        return _task(row) if row else None

    def update(self, task: Task) -> None:
        changes = {"status": task.status, "result": task.result, "updated_at": task.updated_at}
        self._connection.execute(_change, {"task_id": task.id, **changes})

    def list(
        self, *, limit: int, after: Position | None = None, status: TaskStatus | None = None, owner: str | None = None
    ) -> Sequence[Task]:
        query = _newest_first.limit(limit)
        if status:
            query = query.where(_tasks.c.status == status)
        if owner is not None:
            query = query.where(_tasks.c.owner == owner)
        if after:
            query = query.where(_position < after)
        return [_task(row) for row in self._connection.execute(query)]

    def count_by_status(self, since: Sequence[datetime]) -> Sequence[Mapping[TaskStatus, int]]:
        """Count all in one pass over the index, back to the earliest time, and subtract those that are tests.

        The condition in the first query would make Postgres read each row, since the index has no addresses.
        """
        all_tasks, synthetic = self._count(since), self._count(since, IS_SYNTHETIC)
        return [
            # A task may be stored between the two queries.
            {status: max(0, count - tests[status]) for status, count in counts.items()}
            for counts, tests in zip(all_tasks, synthetic, strict=True)
        ]

    def _count(self, since: Sequence[datetime], *conditions: ColumnElement[bool]) -> Sequence[Mapping[TaskStatus, int]]:
        counts = [func.sum(case((_tasks.c.created_at >= time, 1), else_=0)) for time in since]
        # With a list of statuses, Postgres searches the index for each one, instead of scanning all of it.
        query = (
            select(_tasks.c.status, *counts)
            .where(_tasks.c.status.in_(list(TaskStatus)), _tasks.c.created_at >= min(since), *conditions)
            .group_by(_tasks.c.status)
        )
        rows = {TaskStatus(row[0]): row[1:] for row in self._connection.execute(query)}
        zeros = (0,) * len(since)
        return [{status: int(rows.get(status, zeros)[number]) for status in TaskStatus} for number in range(len(since))]

    def oldest(self, status: TaskStatus) -> datetime | None:
        """Read the first entry of the index."""
        created_at = self._connection.scalar(select(func.min(_tasks.c.created_at)).where(_tasks.c.status == status))
        return created_at.replace(tzinfo=created_at.tzinfo or UTC) if created_at else None

    def delete_ended(self, created_before: datetime, *, limit: int, only_synthetic: bool) -> int:
        """Delete in one statement. Replicas that delete at the same time take different tasks."""
        ended = (
            select(_tasks.c.id)
            .where(_tasks.c.created_at < created_before, _tasks.c.status != TaskStatus.NEW)
            .where(*([IS_SYNTHETIC] if only_synthetic else []))
            .order_by(_tasks.c.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            # Postgres computes a common table expression that locks rows once; a subquery it may compute again.
            .cte("ended")
        )
        # SQLite's driver has no row count of a statement that begins with WITH.
        deletion = delete(_tasks).where(_tasks.c.id.in_(select(ended.c.id))).returning(_tasks.c.id)
        return len(self._connection.execute(deletion).all())

    def delete_of_user(self, user_email: str, *, limit: int) -> int:
        """Read all rows, since no index has the addresses: people ask for it rarely."""
        of_user = _tasks.c.user_email
        ended = (
            select(_tasks.c.id)
            .where(func.lower(of_user) == user_email.lower(), _tasks.c.status != TaskStatus.NEW)
            .limit(limit)
        )
        deletion = delete(_tasks).where(_tasks.c.id.in_(ended)).returning(_tasks.c.id)
        return len(self._connection.execute(deletion).all())

    def count_of_user(self, user_email: str) -> int:
        """Read all rows, like `delete_of_user`."""
        query = select(func.count()).select_from(_tasks).where(func.lower(_tasks.c.user_email) == user_email.lower())
        return int(self._connection.scalar(query) or 0)


def _task(row: Row[Any]) -> Task:
    values = {column.key: row._mapping[column] for column in _tasks.columns}
    values["status"] = TaskStatus(values["status"])
    for name in ("created_at", "updated_at"):
        if values[name].tzinfo is None:  # SQLite stores no time zone; all times are in UTC
            values[name] = values[name].replace(tzinfo=UTC)
    return Task(**values)


class SqlUnitOfWork:
    """Transactions on an engine, and the schema that they need."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_migrated = False

    @contextmanager
    def begin(self) -> Iterator[SqlTaskRepository]:
        self.prepare()
        try:
            with _as_unavailable(), self._engine.begin() as connection:
                yield SqlTaskRepository(connection)
        except Unavailable as error:
            # The next database may be another one: empty, restored, or a standby that took over while connections to
            # the old one still answer.
            self._is_migrated = False
            if isinstance(error.__cause__, DBAPIError):
                self._engine.dispose()
            raise

    def prepare(self) -> None:
        """Brings the schema up to date, unless it is known to be. Raises Unavailable."""
        if not self._is_migrated:
            self.ensure_schema()

    def ensure_schema(self) -> None:
        """Brings the schema up to date. Raises Unavailable."""
        with _as_unavailable():
            migrations.upgrade(self._engine)
        self._is_migrated = True

    def check(self) -> None:
        """Raises when the database does not answer, or when its schema cannot be created.

        Readiness depends on this: a service that is ready before its schema would delay or fail the first requests.
        """
        if not self._is_migrated:
            self.ensure_schema()
            return
        with self._engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def start(self) -> None:
        """Nothing to do: the engine connects when first used."""

    def stop(self) -> None:
        """Closes the pool."""
        self._engine.dispose()
