"""Migrates the database's schema with alembic's revisions, without alembic's command and configuration files.

When several processes start at once, one migrates and the others wait. A table from before the first migration is
adopted unchanged. A schema that is newer than this code stays: during a rollout, and after a rollback, old code runs
with a new schema. So a migration only adds what old code can ignore, and removes something one release after its last
use.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, inspect, text

from service.task_manager.schema import metadata, tasks

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

# The newest revision. Written here, so that a start without a migration need not import alembic (0.2 s and 10 MB).
HEAD: Final = "0003"
BASE: Final = "base"
# The revision whose schema equals the one from before the first migration.
_ADOPTED: Final = "0001"
_VERSIONS: Final = "alembic_version"
# A number that no other program locks: "webcrawl" in ASCII.
_LOCK: Final = int.from_bytes(b"webcrawl")
_logger = logging.getLogger(__name__)


def current(engine: Engine) -> str | None:
    """The database's revision; None without one."""
    with engine.connect() as connection:
        return _revision(connection)


def upgrade(engine: Engine, target: str = HEAD) -> None:
    """Migrates the schema up to `target`, if it is not there yet. Raises SQLAlchemy's errors."""
    # Without the lock: each start makes this query.
    if current(engine) == target:
        return
    with engine.connect() as connection:
        _lock(connection)
        previous = _revision(connection)
        script = _script()
        if previous is not None and previous not in {revision.revision for revision in script.walk_revisions()}:
            _logger.warning("the database's schema %s is newer than this code, which knows %s", previous, HEAD)
            return
        if previous is None and inspect(connection).has_table(tasks.name):
            _move(connection, script, lambda _revision, _context: script._stamp_revs(_ADOPTED, _revision))
            _logger.info("the database's schema was adopted as %s", _ADOPTED)
        _move(connection, script, lambda revision, _context: script._upgrade_revs(target, revision))
        current_revision = _revision(connection)
        connection.commit()
        if current_revision != previous:
            _logger.info("the database's schema went from %s to %s", previous, current_revision)


def downgrade(engine: Engine, target: str) -> None:
    """Migrates the schema back to `target`; `base` removes the whole schema and deletes all tasks."""
    script = _script()
    with engine.connect() as connection:
        _lock(connection)
        _move(connection, script, lambda revision, _context: script._downgrade_revs(target, revision))
        connection.commit()


def grant(engine: Engine, role: str) -> None:
    """Lets a role of Postgres read and write the tasks, and read the revision, and nothing else."""
    quote = engine.dialect.identifier_preparer.quote
    with engine.connect() as connection:
        # Without the lock, one of two processes that grant at once fails.
        _lock(connection)
        for rights, table in (("SELECT, INSERT, UPDATE, DELETE", tasks.name), ("SELECT", _VERSIONS)):
            connection.execute(text(f"REVOKE ALL ON {quote(table)} FROM {quote(role)}"))
            connection.execute(text(f"GRANT {rights} ON {quote(table)} TO {quote(role)}"))
        connection.commit()


def history() -> list[tuple[str, str]]:
    """(revision, description), oldest first."""
    return [(revision.revision, revision.doc) for revision in _script().walk_revisions()][::-1]


def differences(engine: Engine) -> list[Any]:
    """The differences between the models and the database, as alembic describes them."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSIONS):
        return None
    revision: str | None = connection.execute(text(f"SELECT version_num FROM {_VERSIONS}")).scalar()
    return revision


def _lock(connection: Connection) -> None:
    """Lets one process at a time pass, until its transaction ends."""
    if connection.dialect.name == "postgresql":
        # A migration may take longer than a query, but queries must not wait long for its lock.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _script() -> "ScriptDirectory":
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(__file__).parent))


def _move(connection: Connection, script: "ScriptDirectory", steps: Callable[[Any, Any], Any]) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=connection, target_metadata=metadata, version_table=_VERSIONS)
        environment.run_migrations()
