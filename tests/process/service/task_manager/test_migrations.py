"""Migrations make the schema of the models, adopt a schema without revisions, and can go back."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, inspect, text

from service.task_manager import migrations
from service.task_manager.migrate import main
from service.task_manager.schema import tasks
from tests.support.service_process import ROOT

ROW = {
    "id": "0" * 32,
    "user_email": "ada@example.com",
    "user_query": "?",
    "original_url": "http://x/",
    "status": "new",
    "created_at": "2026-01-02 03:04:05.000000",
    "updated_at": "2026-01-02 03:04:05.000000",
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tasks.db'}"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


def _rows(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM web_crawl_tasks")).scalar_one())


def _insert(engine: Engine) -> None:
    with engine.begin() as connection:
        names = ", ".join(ROW)
        values = ", ".join(f":{name}" for name in ROW)
        connection.execute(text(f"INSERT INTO web_crawl_tasks ({names}) VALUES ({values})"), ROW)


def test_models_and_migrations_agree_and_each_migration_has_a_way_back(engine: Engine) -> None:
    assert migrations.history()[-1][0] == migrations.HEAD
    migrations.upgrade(engine)
    assert migrations.differences(engine) == []
    migrations.downgrade(engine, migrations.BASE)
    assert inspect(engine).get_table_names() == ["alembic_version"]
    migrations.upgrade(engine)
    assert migrations.differences(engine) == []
    assert migrations.current(engine) == migrations.HEAD


def test_models_and_migrations_agree_on_postgres(postgres: str) -> None:
    engine = create_engine(postgres)
    migrations.upgrade(engine)
    assert migrations.differences(engine) == []
    engine.dispose()


def test_a_table_from_before_the_first_migration_is_adopted(engine: Engine) -> None:
    migrations.upgrade(engine, "0001")
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    _insert(engine)
    migrations.upgrade(engine)
    assert migrations.current(engine) == migrations.HEAD
    assert _rows(engine) == 1


def test_code_of_the_previous_release_stores_tasks_with_the_new_schema_and_they_survive_the_way_back(
    engine: Engine,
) -> None:
    migrations.upgrade(engine, "0002")
    _insert(engine)
    migrations.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM web_crawl_tasks"))
    _insert(engine)  # names no owner, as the previous release does
    migrations.downgrade(engine, "0002")
    assert _rows(engine) == 1


def test_a_newer_schema_is_not_changed(engine: Engine) -> None:
    migrations.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    migrations.upgrade(engine)
    assert migrations.current(engine) == "9999"


def test_many_start_at_once_on_an_empty_database(url: str) -> None:
    def start(_: int) -> None:
        engine = create_engine(url)
        migrations.upgrade(engine)
        engine.dispose()

    with ThreadPoolExecutor(4) as workers:
        list(workers.map(start, range(8)))
    engine = create_engine(url)
    assert inspect(engine).has_table(tasks.name)
    engine.dispose()


def test_the_command(
    engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert main(["current"]) == 1
    assert main(["upgrade"]) == 0
    assert main(["current"]) == 0
    assert main(["history"]) == 0
    assert "0001  The table of tasks" in capsys.readouterr().out
    _insert(engine)
    with pytest.raises(SystemExit):
        main(["downgrade", "base"])
    assert "deletes all tasks" in capsys.readouterr().err
    assert _rows(engine) == 1
    with pytest.raises(SystemExit):
        main(["upgrade", "4711"])
    assert "known: 0001" in capsys.readouterr().err
    assert main(["downgrade", "base", "--delete-tasks"]) == 0
    monkeypatch.setenv("DATABASE_URL", "sqlite:////nowhere/at/all.db")
    assert main(["upgrade"]) == 1
    assert "OperationalError" in capsys.readouterr().err


def test_a_migration_writes_only_to_the_database_and_only_then_imports_alembic(tmp_path: Path, url: str) -> None:
    code = tmp_path / "app"
    for package in ("service", "lean_tracing", "contracts"):
        shutil.copytree(ROOT / package, code / package, ignore=shutil.ignore_patterns("__pycache__"))
    files = sorted(code.rglob("*"))
    script = (
        "import sys; from sqlalchemy import create_engine; from service.task_manager import migrations;"
        f"migrations.upgrade(create_engine({url!r})); print('alembic' in sys.modules)"
    )
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    for imported in ("True", "False"):  # the second run has nothing to do
        ended = subprocess.run(
            [sys.executable, "-c", script], cwd=code, env=environment, capture_output=True, text=True, check=True
        )
        assert ended.stdout.strip() == imported
    assert sorted(code.rglob("*")) == files
