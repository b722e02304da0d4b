"""Ended tasks whose time is over are deleted, on SQLite and on a real Postgres, by several replicas at once."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from contracts.tasks import PROBE_USER, SMOKE_CHECK_USER, TaskStatus
from lean_tracing.testing import Recorder
from service.common.errors import Unavailable
from service.task_manager.domain import NewTask, Task
from service.task_manager.postgres import SqlUnitOfWork, build_engine
from service.task_manager.retention import BATCH, Retention
from service.task_manager.use_cases import Tasks, utc_now
from stack.polling import poll_until
from tests.support.fakes import FakeObserver, FakePublisher

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database of its own."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tasks.db'}"
    return empty_postgres(request.getfixturevalue("postgres"))


def empty_postgres(server: str) -> str:
    name = f"retention_{uuid.uuid4().hex}"
    administration = create_engine(server, isolation_level="AUTOCOMMIT")

    def answers() -> bool:
        try:
            administration.connect().close()
        except OperationalError:  # Postgres may still be starting up when its port is open
            return False
        return True

    poll_until("Postgres", answers)
    with administration.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    administration.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def database(url: str, recorder: Recorder) -> Iterator[SqlUnitOfWork]:
    unit_of_work = SqlUnitOfWork(build_engine(url, recorder.traces))
    unit_of_work.ensure_schema()
    yield unit_of_work
    unit_of_work.stop()


@pytest.fixture
def cases(database: SqlUnitOfWork) -> Tasks:
    return Tasks(database, FakePublisher(), FakeObserver())


def store(database: SqlUnitOfWork, age: timedelta, user: str = "ada@example.com", status: str = "completed") -> Task:
    """Stores a task of this age."""
    created_at = utc_now() - age
    task = Task.create(NewTask(id=uuid.uuid4(), user_email=user, user_query="?", url="http://x/"), created_at)
    task = replace(task, status=TaskStatus(status))
    with database.begin() as tasks:
        assert tasks.add(task)
    return task


def kept(database: SqlUnitOfWork, stored: list[Task]) -> list[Task]:
    """Return the tasks of a list that are still stored."""
    with database.begin() as tasks:
        return [task for task in stored if tasks.get(task.id)]


def retention(cases: Tasks, recorder: Recorder, age: timedelta | None) -> tuple[Retention, CollectorRegistry]:
    registry = CollectorRegistry()
    return Retention(cases, age, recorder.traces, registry), registry


def test_a_test_of_the_stack_is_deleted_after_an_hour_and_a_users_task_after_its_retention(
    database: SqlUnitOfWork, cases: Tasks, recorder: Recorder
) -> None:
    deleted = [
        store(database, 2 * HOUR, PROBE_USER),
        store(database, 2 * HOUR, SMOKE_CHECK_USER, "error"),
        store(database, 31 * DAY),
        store(database, 31 * DAY, status="error"),
    ]
    remaining = [
        store(database, HOUR / 2, PROBE_USER),
        store(database, 2 * HOUR, PROBE_USER, "new"),
        store(database, 29 * DAY),
        store(database, 31 * DAY, status="new"),
    ]
    deletion, registry = retention(cases, recorder, 30 * DAY)
    assert deletion.delete() > 60
    assert kept(database, deleted) == []
    assert kept(database, remaining) == remaining
    for reason in ("synthetic", "retention"):
        assert registry.get_sample_value("web_crawl_tasks_deleted_total", {"reason": reason}) == 2
    assert deletion.delete() > 60, "again: there is nothing to delete"
    assert kept(database, remaining) == remaining


def test_the_tasks_of_users_stay_for_ever_without_a_retention(
    database: SqlUnitOfWork, cases: Tasks, recorder: Recorder
) -> None:
    users, tests = store(database, 3000 * DAY), store(database, 3000 * DAY, PROBE_USER)
    deletion, _ = retention(cases, recorder, None)
    deletion.delete()
    assert kept(database, [users, tests]) == [users]


def test_the_deletion_is_traced(database: SqlUnitOfWork, cases: Tasks, recorder: Recorder) -> None:
    store(database, 2 * DAY)
    earlier = len(recorder.spans())
    deletion, _ = retention(cases, recorder, DAY)
    deletion.delete()
    spans = recorder.spans()[earlier:]
    (root,) = [span for span in spans if span.name == "delete ended tasks"]
    statements = [span for span in spans if span.name == "DELETE web_crawl_tasks"]
    assert len(statements) == 2
    assert root.attributes
    assert root.attributes["task.db.rows_affected"] == 1
    assert {span.context.trace_id for span in statements} == {root.context.trace_id}


def test_a_large_table_is_deleted_in_batches_the_oldest_first(
    database: SqlUnitOfWork, cases: Tasks, recorder: Recorder
) -> None:
    stored = [store(database, 2 * DAY + timedelta(seconds=number)) for number in range(BATCH + 3)]
    deletion, _ = retention(cases, recorder, DAY)
    assert deletion.delete() < 1, "there are more"
    assert kept(database, stored) == stored[:3]
    assert deletion.delete() > 60
    assert kept(database, stored) == []


def test_replicas_delete_different_tasks_at_the_same_time(postgres: str, recorder: Recorder) -> None:
    database = SqlUnitOfWork(build_engine(empty_postgres(postgres), recorder.traces))
    cases = Tasks(database, FakePublisher(), FakeObserver())
    count = 200
    stored = [store(database, 2 * DAY) for _ in range(count)]
    with ThreadPoolExecutor(4) as replicas:
        deleted = list(replicas.map(lambda _: cases.delete_ended(DAY, limit=count // 4), range(8)))
    assert sum(deleted) == count
    assert kept(database, stored) == []
    database.stop()


def test_the_deletion_waits_for_no_transaction_that_holds_a_task(postgres: str, recorder: Recorder) -> None:
    database = SqlUnitOfWork(build_engine(empty_postgres(postgres), recorder.traces))
    cases = Tasks(database, FakePublisher(), FakeObserver())
    held, free = store(database, 2 * DAY), store(database, 2 * DAY)
    with database.begin() as tasks:
        assert tasks.get(held.id, for_update=True)
        assert cases.delete_ended(DAY, limit=10) == 1
    assert kept(database, [held, free]) == [held]
    assert cases.delete_ended(DAY, limit=10) == 1
    database.stop()


def test_the_statements_on_tests_of_the_stack_use_their_own_index(postgres: str, recorder: Recorder) -> None:
    url = empty_postgres(postgres)
    database = SqlUnitOfWork(build_engine(url, recorder.traces))
    database.ensure_schema()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO web_crawl_tasks"
                " (id, user_email, user_query, original_url, status, created_at, updated_at)"
                " SELECT gen_random_uuid(), CASE WHEN n % 100 = 0 THEN 'probe@example.com' ELSE 'a@example.com' END,"
                " '?', 'http://x/', 'completed', now() - n * interval '1 second', now()"
                " FROM generate_series(1, 20000) AS n"
            )
        )
        connection.execute(text("ANALYZE web_crawl_tasks"))
    with database.begin() as tasks:
        (counts,) = tasks.count_by_status([utc_now() - DAY])
        assert counts[TaskStatus.COMPLETED] == 20_000 - 200
        assert 85 < tasks.delete_ended(utc_now() - 3 * HOUR, limit=BATCH, only_synthetic=True) < 95
    database.stop()  # the server counts what a connection did when that ends

    def scans() -> dict[str, tuple[int, int]]:
        query = (
            "SELECT indexrelname, idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE relname = 'web_crawl_tasks'"
        )
        with engine.connect() as connection:
            return {name: (count, read) for name, count, read in connection.execute(text(query))}

    count, read = poll_until(
        "the statistics",
        lambda: scans()["web_crawl_tasks_synthetic"] if scans()["web_crawl_tasks_synthetic"][0] else None,
    )
    assert count == 2, "the count and the deletion"
    assert read < 400, "and no task of a user"
    engine.dispose()


def test_an_unavailable_database_is_no_failure_of_the_loop(recorder: Recorder, tmp_path: Path) -> None:
    unit_of_work = SqlUnitOfWork(build_engine(f"sqlite:///{tmp_path / 'no' / 'folder.db'}", recorder.traces))
    cases = Tasks(unit_of_work, FakePublisher(), FakeObserver())
    with pytest.raises(Unavailable):
        cases.delete_ended(DAY, limit=1)
    deletion, _ = retention(cases, recorder, DAY)
    assert deletion.delete() > 60


def test_the_counts_are_those_of_users(database: SqlUnitOfWork) -> None:
    now = utc_now()
    store(database, timedelta(minutes=1))
    store(database, timedelta(minutes=1), PROBE_USER)
    store(database, timedelta(minutes=1), SMOKE_CHECK_USER, "new")
    with database.begin() as tasks:
        (counts,) = tasks.count_by_status([now - HOUR])
    assert counts == {TaskStatus.NEW: 0, TaskStatus.COMPLETED: 1, TaskStatus.ERROR: 0}
