"""The database's schema by hand. A task-manager that starts brings it up to date by itself."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from service.task_manager import migrations
from service.task_manager.config import DatabaseSettings
from service.task_manager.postgres import build_engine
from service.tracing import SettingsError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0, 1 where the database refused, 2 where it was asked wrongly."""
    parser = argparse.ArgumentParser(
        prog="python -m service.task_manager.migrate", description=f"{__doc__} The variable DATABASE_URL says where."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    upgrade = commands.add_parser("upgrade", help="bring the schema up to date")
    upgrade.add_argument("revision", nargs="?", default=migrations.HEAD, help="stop at this one")
    commands.add_parser("current", help="print the database's revision; exit code 1 if it is not the newest")
    commands.add_parser("history", help="list the revisions, oldest first")
    downgrade = commands.add_parser("downgrade", help="take the schema back")
    downgrade.add_argument("revision", help=f"an earlier one, or `{migrations.BASE}` for nothing")
    downgrade.add_argument("--delete-tasks", action="store_true", help=f"needed for `{migrations.BASE}`")
    asked = parser.parse_args(arguments)

    known = [revision for revision, _ in migrations.history()]
    if asked.command == "history":
        for revision, what in migrations.history():
            print(f"{revision}  {what}")
        return 0
    wanted = getattr(asked, "revision", migrations.HEAD)
    if wanted not in (*known, *([migrations.BASE] if asked.command == "downgrade" else [])):
        parser.error(f"there is no revision {wanted}; known: {', '.join(known)}")
    if wanted == migrations.BASE and not asked.delete_tasks:
        parser.error(f"`downgrade {migrations.BASE}` deletes all tasks: say so with --delete-tasks")
    try:
        settings = DatabaseSettings.from_env()
    except SettingsError as error:
        parser.error(str(error))
    engine = build_engine(settings.database_url.get_secret_value())
    try:
        return _run(asked.command, wanted, engine)
    except SQLAlchemyError as error:
        print(f"{parser.prog}: {type(error).__name__}: {str(error).partition(chr(10))[0]}", file=sys.stderr)
        return 1
    finally:
        engine.dispose()


def _run(command: str, revision: str, engine: Engine) -> int:
    if command == "upgrade":
        migrations.upgrade(engine, revision)
    elif command == "downgrade":
        migrations.downgrade(engine, revision)
    found = migrations.current(engine)
    print(found or "no schema")
    return 0 if command != "current" or found == migrations.HEAD else 1


if __name__ == "__main__":
    sys.exit(main())
