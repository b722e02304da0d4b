"""The database's schema, step by step: alembic's revisions, run without its command and its files of settings.

Of several processes that start at once one migrates and the others wait. A table made before there were migrations is
taken over as it is. A schema newer than this code is left alone: in a rollout, or after a rollback, older code works
beside it. So a migration adds what older code can ignore, and what it removes, it removes one release later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, inspect, text

from service.task_manager.schema import metadata, tasks

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

# The newest revision; known here so that a start with nothing to do need not import alembic (0.2 s and 10 MB).
HEAD: Final = "0001"
BASE: Final = "base"
# The revision that makes what was made without migrations before.
_ADOPTED: Final = "0001"
_VERSIONS: Final = "alembic_version"
# Any number that nobody else locks: "webcrawl" in ASCII.
_LOCK: Final = int.from_bytes(b"webcrawl")
_logger = logging.getLogger(__name__)


def current(engine: Engine) -> str | None:
    """The database's revision; None without one."""
    with engine.connect() as connection:
        return _revision(connection)


def upgrade(engine: Engine, target: str = HEAD) -> None:
    """Brings the schema up to `target`; does nothing where it is there already. Raises SQLAlchemy's errors."""
    # Without the lock: it is the one query that every start makes.
    if current(engine) == target:
        return
    with engine.connect() as connection:
        _lock(connection)
        before = _revision(connection)
        script = _script()
        if before is not None and before not in {revision.revision for revision in script.walk_revisions()}:
            _logger.warning("the database's schema %s is newer than this code, which knows %s", before, HEAD)
            return
        if before is None and inspect(connection).has_table(tasks.name):
            _move(connection, script, lambda _revision, _context: script._stamp_revs(_ADOPTED, _revision))
            _logger.info("the database's schema was adopted as %s", _ADOPTED)
        _move(connection, script, lambda revision, _context: script._upgrade_revs(target, revision))
        after = _revision(connection)
        connection.commit()
        if after != before:
            _logger.info("the database's schema went from %s to %s", before, after)


def downgrade(engine: Engine, target: str) -> None:
    """Takes the schema back to `target`, `base` for nothing at all, which deletes every task."""
    script = _script()
    with engine.connect() as connection:
        _lock(connection)
        _move(connection, script, lambda revision, _context: script._downgrade_revs(target, revision))
        connection.commit()


def history() -> list[tuple[str, str]]:
    """(revision, what it does), oldest first."""
    return [(revision.revision, revision.doc) for revision in _script().walk_revisions()][::-1]


def differences(engine: Engine) -> list[Any]:
    """What the models have and the database has not, or the other way round, in alembic's terms."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSIONS):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {_VERSIONS}")).scalar()
    return found


def _lock(connection: Connection) -> None:
    """Only one process gets past here at a time, until the transaction ends."""
    if connection.dialect.name == "postgresql":
        # A migration may take longer than a query, but must not keep the queries waiting behind it for a lock.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _script() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(__file__).parent))


def _move(connection: Connection, script: ScriptDirectory, steps: Callable[[Any, Any], Any]) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=connection, target_metadata=metadata, version_table=_VERSIONS)
        environment.run_migrations()
