"""Migrates the database's schema by hand. The task-manager does it at each start."""

import argparse
import sys
import time
from collections.abc import Sequence

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from lean_tracing import SettingsError
from service.common.retry import Backoff
from service.task_manager import migrations
from service.task_manager.config import DatabaseSettings
from service.task_manager.postgres import build_engine


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Returns:
        The exit code. 0: success. 1: the database refused, or `current` found an old schema. 2: wrong arguments.
    """
    parser = argparse.ArgumentParser(
        prog="python -m service.task_manager.migrate", description=f"{__doc__} DATABASE_URL is the database's address."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    upgrade = commands.add_parser("upgrade", help="bring the schema up to date")
    upgrade.add_argument("revision", nargs="?", default=migrations.HEAD, help="the last revision to apply")
    upgrade.add_argument("--grant", metavar="ROLE", help="then let this role read and write the tables' rows")
    upgrade.add_argument("--wait", metavar="SECONDS", type=float, help="how long to wait for an unavailable database")
    commands.add_parser("current", help="print the database's revision; exit code 1 if it is not the newest")
    commands.add_parser("history", help="list the revisions, oldest first")
    downgrade = commands.add_parser("downgrade", help="go back to an earlier revision")
    downgrade.add_argument("revision", help=f"an earlier revision, or `{migrations.BASE}` for an empty database")
    downgrade.add_argument("--delete-tasks", action="store_true", help=f"required for `{migrations.BASE}`")
    options = parser.parse_args(arguments)

    known = [revision for revision, _ in migrations.history()]
    if options.command == "history":
        for revision, description in migrations.history():
            print(f"{revision}  {description}")
        return 0
    target = getattr(options, "revision", migrations.HEAD)
    if target not in (*known, *([migrations.BASE] if options.command == "downgrade" else [])):
        parser.error(f"there is no revision {target}; known: {', '.join(known)}")
    if target == migrations.BASE and not options.delete_tasks:
        parser.error(f"`downgrade {migrations.BASE}` deletes all tasks: confirm with --delete-tasks")
    try:
        settings = DatabaseSettings.from_env()
    except SettingsError as error:
        parser.error(str(error))
    engine = build_engine(settings.database_url.get_secret_value())
    try:
        _wait(engine, getattr(options, "wait", None) or 0)
        return _run(options.command, target, engine, getattr(options, "grant", None))
    except SQLAlchemyError as error:
        print(f"{parser.prog}: {type(error).__name__}: {str(error).partition(chr(10))[0]}", file=sys.stderr)
        return 1
    finally:
        engine.dispose()


def _wait(engine: Engine, seconds: float) -> None:
    """Returns when the database answers; raises OperationalError if it does not do so in time."""
    end, backoff = time.monotonic() + seconds, Backoff()
    while True:
        try:
            engine.connect().close()
        except OperationalError:
            if time.monotonic() >= end:
                raise
            time.sleep(backoff.next_delay())
        else:
            return


def _run(command: str, revision: str, engine: Engine, role: str | None) -> int:
    if command == "upgrade":
        migrations.upgrade(engine, revision)
        if role is not None:
            migrations.grant(engine, role)
    elif command == "downgrade":
        migrations.downgrade(engine, revision)
    current = migrations.current(engine)
    print(current or "no schema")
    return 0 if command != "current" or current == migrations.HEAD else 1


if __name__ == "__main__":
    sys.exit(main())
