"""The database adapters of the task-manager, on SQLite and on a real Postgres."""

import sqlite3
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, inspect, text

from checks.faults.catalogue import faults
from contracts.tasks import TaskStatus
from dashboards.rules.runbook import RUNBOOKS
from lean_tracing.testing import Recorder
from service.common.errors import Unavailable
from service.task_manager.domain import NewTask, Task
from service.task_manager.postgres import SqlUnitOfWork, _as_unavailable, build_engine
from stack.polling import poll_until

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, recorder: Recorder, tmp_path: Path) -> Iterator[SqlUnitOfWork]:
    url = request.getfixturevalue("postgres") if request.param == "postgres" else f"sqlite:///{tmp_path / 'tasks.db'}"
    unit_of_work = SqlUnitOfWork(build_engine(url, recorder.traces))
    # Postgres may still be starting up when its port is open.
    poll_until("schema", lambda: _has_schema(unit_of_work))
    yield unit_of_work
    unit_of_work.stop()


def _has_schema(unit_of_work: SqlUnitOfWork) -> bool:
    try:
        unit_of_work.ensure_schema()
    except Unavailable:
        return False
    return True


def _task(created_at: datetime = NOW) -> Task:
    new = NewTask(id=uuid.uuid4(), user_email="ada@example.com", user_query="?", url="http://x/")
    return Task.create(new, created_at)


def test_tasks_come_back_as_stored(database: SqlUnitOfWork, recorder: Recorder) -> None:
    task = _task()
    with database.begin() as tasks:
        completed = tasks.count_by_status([NOW])[0][TaskStatus.COMPLETED]
        assert tasks.add(task)
        assert not tasks.add(task)
    with database.begin() as tasks:
        oldest = tasks.oldest(TaskStatus.NEW)
        assert oldest is not None
        assert oldest <= task.created_at
    done = task.complete({"title": "é\N{SNOWMAN}", "n": [1, None]}, NOW + timedelta(seconds=1))
    with database.begin() as tasks:
        assert tasks.get(task.id, for_update=True) == task
        tasks.update(done)
    with database.begin() as tasks:
        assert tasks.get(task.id) == done
        assert tasks.get(uuid.uuid4()) is None
        now, later = tasks.count_by_status([NOW, NOW + timedelta(days=10_000)])
        assert now[TaskStatus.COMPLETED] == completed + 1
        assert later == dict.fromkeys(TaskStatus, 0)
        assert task.id in [listed.id for listed in tasks.list(limit=100, status=TaskStatus.COMPLETED)]
    assert {"INSERT web_crawl_tasks", "UPDATE web_crawl_tasks"} <= {span.name for span in recorder.spans()}
    assert "ada@example.com" not in " ".join(span.to_json() for span in recorder.spans())


def test_a_list_of_one_owner_has_its_tasks_alone(database: SqlUnitOfWork) -> None:
    own = [replace(_task(NOW + timedelta(seconds=number)), owner="key:lists") for number in range(3)]
    with database.begin() as tasks:
        for task in (*own, replace(_task(), owner="key:other"), _task()):
            tasks.add(task)
        assert tasks.list(limit=10, owner="key:lists") == own[::-1]
        assert tasks.list(limit=10, owner="key:lists", status=TaskStatus.ERROR) == []
        assert tasks.list(limit=10, owner="key:without-tasks") == []
        assert tasks.get(own[0].id) == own[0]


def test_an_error_rolls_back(database: SqlUnitOfWork) -> None:
    task = _task()

    def interrupted() -> None:
        with database.begin() as tasks:
            assert tasks.add(task)
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    with database.begin() as tasks:
        assert tasks.get(task.id) is None


def test_newest_first_and_in_pages(database: SqlUnitOfWork) -> None:
    # In the future, so that they precede the tasks of other tests; two of one moment differ in their ids.
    made = [_task(NOW + timedelta(days=9000, seconds=number // 2)) for number in range(6)]
    newest_first = sorted(made, key=lambda task: (task.created_at, task.id), reverse=True)
    with database.begin() as tasks:
        for task in made:
            tasks.add(task)
        position = None
        for expected in (newest_first[:4], newest_first[4:]):
            page = tasks.list(limit=4, after=position)
            assert page[: len(expected)] == expected
            position = (page[-1].created_at, page[-1].id)


def test_schema_is_made_by_many_at_once(database: SqlUnitOfWork) -> None:
    with ThreadPoolExecutor(4) as workers:
        for outcome in [workers.submit(database.ensure_schema) for _ in range(8)]:
            outcome.result()


def test_a_database_is_up_once_it_has_its_schema(recorder: Recorder, tmp_path: Path) -> None:
    engine = build_engine(f"sqlite:///{tmp_path / 'new.db'}?timeout=0.1", recorder.traces)
    unit_of_work = SqlUnitOfWork(engine)
    other = sqlite3.connect(tmp_path / "new.db", timeout=0)
    other.execute("BEGIN EXCLUSIVE")  # like another process that migrates
    with pytest.raises(Unavailable):
        unit_of_work.check()
    other.close()
    unit_of_work.check()
    assert inspect(engine).has_table("web_crawl_tasks")
    unit_of_work.check()
    unit_of_work.stop()


def test_a_database_that_does_not_answer_is_unavailable(recorder: Recorder) -> None:
    unit_of_work = SqlUnitOfWork(build_engine("postgresql+psycopg://a:hunter2@127.0.0.1:1/x", recorder.traces))
    with pytest.raises(Unavailable) as error, unit_of_work.begin():
        pass
    assert str(error.value) == "The database is unavailable (OperationalError: Connection refused)"


@pytest.fixture
def engine(postgres: str, recorder: Recorder) -> Iterator[Engine]:
    engine = build_engine(postgres, recorder.traces)
    poll_until("schema", lambda: _has_schema(SqlUnitOfWork(engine)))
    yield engine
    engine.dispose()


def _refusal(unit_of_work: SqlUnitOfWork) -> Unavailable:
    with pytest.raises(Unavailable) as error, unit_of_work.begin():
        pass
    return error.value


def test_the_reason_is_the_message_of_the_server_for_logs_alone(engine: Engine, recorder: Recorder) -> None:
    stranger = engine.url.set(username="stranger", password="hunter2").render_as_string(hide_password=False)
    error = _refusal(SqlUnitOfWork(build_engine(stranger, recorder.traces)))
    assert str(error) == 'The database is unavailable (OperationalError: FATAL: role "stranger" does not exist)'
    assert error.message == "The database is unavailable"


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("tasks", "sorry, too many clients already"),  # a superuser here
        ("ordinary", "remaining connection slots are reserved"),
    ],
)
def test_a_server_without_a_free_connection_says_so(engine: Engine, recorder: Recorder, role: str, words: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS ordinary"))
        connection.execute(text("CREATE ROLE ordinary LOGIN"))
    engine.dispose()
    url = engine.url.set(username=role).render_as_string()
    with _connections_taken(url):
        error = _refusal(SqlUnitOfWork(build_engine(url, recorder.traces)))
    assert f"The database is unavailable (OperationalError: FATAL: {words}" in str(error)
    assert words in faults("jaeger")["too-many-connections"].evidence.trace
    assert words in (RUNBOOKS / "StatementsFail.md").read_text()


@contextmanager
def _connections_taken(url: str) -> Iterator[None]:
    """Opens connections until the server has none left."""
    with ExitStack() as connections:
        try:
            while True:
                connections.enter_context(psycopg.connect(url.replace("+psycopg", "")))
        except psycopg.OperationalError:
            yield


def test_a_statement_that_the_server_ends_has_its_code(engine: Engine) -> None:
    def wait_too_long() -> None:
        with _as_unavailable(), engine.connect() as connection:
            connection.execute(text("SET statement_timeout = 10"))
            connection.execute(text("SELECT pg_sleep(5)"))

    with pytest.raises(Unavailable) as error:
        wait_too_long()
    assert str(error.value).endswith("57014: canceling statement due to statement timeout)")


def test_the_server_soon_notices_a_client_that_disappears_from_the_network(engine: Engine) -> None:
    """The locks of a transaction that a lost node has begun would block the tasks until then."""
    with engine.connect() as connection:
        values = {
            name: connection.execute(text(f"SHOW tcp_{name}")).scalar_one()
            for name in ("keepalives_idle", "keepalives_interval", "keepalives_count", "user_timeout")
        }
    # In s, and the last one in ms; a connection without TCP would show 0.
    assert values == {
        "keepalives_idle": "5",
        "keepalives_interval": "2",
        "keepalives_count": "3",
        "user_timeout": "10000",
    }
