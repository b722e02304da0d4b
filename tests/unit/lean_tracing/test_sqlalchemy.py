"""Spans of statements and transactions on SQLite, and the metrics of the connection pool."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, create_engine, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from lean_tracing import TracingSettings, start_tracing
from lean_tracing.sqlalchemy import instrument_engine
from lean_tracing.testing import Recorder

_metadata = MetaData()
PEOPLE = Table("people", _metadata, Column("id", Integer, primary_key=True), Column("mail", String, unique=True))
ADA = "ada@example.com"


def _attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def _names(recorder: Recorder) -> list[str]:
    return [span.name for span in recorder.spans()]


@pytest.fixture
def engine(recorder: Recorder, tmp_path: Path) -> Iterator[Engine]:
    """A database with one empty table."""
    made = create_engine(f"sqlite:///{tmp_path / 'people.db'}", pool_size=1, max_overflow=1, pool_timeout=0.05)
    _metadata.create_all(made)
    instrument_engine(made, recorder.traces)
    yield made
    made.dispose()


# --- statements -------------------------------------------------------------------------------------------------------


def test_statement_span_without_parameters(recorder: Recorder, engine: Engine) -> None:
    add = text("INSERT INTO people (mail) VALUES (:mail)")
    with recorder.traces.span("request") as request, engine.begin() as connection:
        connection.execute(add, {"mail": ADA})
        with pytest.raises(IntegrityError):
            connection.execute(add, {"mail": ADA})
        connection.exec_driver_sql(f"SELECT mail FROM people WHERE mail = '{ADA}'").all()
    inserted, refused = (span for span in recorder.spans() if span.name == "INSERT people")
    assert inserted.kind is SpanKind.CLIENT
    assert inserted.parent is not None
    assert inserted.parent.span_id == request.get_span_context().span_id
    attributes = _attributes(inserted)
    attributes.pop("lean_tracing.db.pool_wait_ms", None)  # present if a busy machine opened the connection slowly
    assert attributes == {
        "db.system.name": "sqlite",
        "db.namespace": engine.url.database,
        "db.operation.name": "INSERT",
        "db.collection.name": "people",
        "db.query.summary": "INSERT people",
        "db.query.text": "INSERT INTO people (mail) VALUES (?)",
        "lean_tracing.db.rows_affected": 1,
    }
    assert refused.status.status_code is StatusCode.ERROR
    assert _attributes(refused)["error.type"] == "IntegrityError"
    assert _attributes(refused)["db.response.status_code"] == "SQLITE_CONSTRAINT_UNIQUE"
    assert _attributes(recorder.one("SELECT people"))["db.query.text"] == "SELECT mail FROM people WHERE mail = ?"
    assert ADA not in " ".join(span.to_json() for span in recorder.spans())


def test_one_span_a_statement_however_often_it_is_instrumented(recorder: Recorder, engine: Engine) -> None:
    assert instrument_engine(engine, recorder.traces) is instrument_engine(engine, recorder.traces)
    with engine.execution_options(isolation_level="SERIALIZABLE").connect() as connection:
        connection.execute(select(PEOPLE))
    assert _names(recorder) == ["SELECT people"]


def test_many_rows_are_one_span_that_counts_them(recorder: Recorder, engine: Engine) -> None:
    rows = [{"mail": f"user-{number}@example.com"} for number in range(50)]
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO people (mail) VALUES (:mail)"), rows)
        connection.execute(insert(PEOPLE).returning(PEOPLE.c.id), [{"mail": f"more-{n}@x.de"} for n in range(3)])
    many, returning, _ = recorder.spans()
    assert many.name == returning.name == "INSERT people"
    assert _attributes(many)["db.operation.batch.size"] == 50
    assert _attributes(many)["lean_tracing.db.rows_affected"] == 50
    assert "db.operation.batch.size" not in _attributes(returning), "its rows are in one statement"
    assert "example.com" not in many.to_json()


def test_a_statement_without_parameters_has_a_span(recorder: Recorder, engine: Engine) -> None:
    with engine.connect().execution_options(no_parameters=True) as connection:
        assert connection.exec_driver_sql("SELECT 'a%'").scalar() == "a%"
    assert _names(recorder) == ["SELECT"]


def test_unlimited_tables_make_a_limited_number_of_names(recorder: Recorder, engine: Engine) -> None:
    with engine.connect() as connection:
        for number in range(300):
            with pytest.raises(OperationalError):
                connection.execute(text(f"SELECT a FROM t{number}"))
    spans = recorder.spans()
    assert len({span.name for span in spans}) == 257
    assert spans[-1].name == _attributes(spans[-1])["db.query.summary"] == "SELECT"
    assert _attributes(spans[-1])["db.collection.name"] == "t299"


def test_interruption_ends_the_span(recorder: Recorder, engine: Engine) -> None:
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection

        def interrupt(_: int) -> int:
            raise KeyboardInterrupt

        driver.create_function("interrupt", 1, interrupt)
        with pytest.raises((KeyboardInterrupt, OperationalError)):
            connection.execute(text("SELECT interrupt(1)"))
    assert recorder.one("SELECT").status.status_code is StatusCode.ERROR


def test_nothing_is_recorded_where_tracing_is_off_or_suppressed(recorder: Recorder, engine: Engine) -> None:
    with recorder.traces.suppressed(), engine.begin() as connection:
        connection.execute(insert(PEOPLE).values(mail=ADA))
    assert _names(recorder) == []
    off = create_engine("sqlite://")
    instrument_engine(off, start_tracing(TracingSettings(enabled=False)).traces)
    with off.begin() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


SECRET = "Zq7hunter2"


@given(
    st.text("ab'\"`\\$-/*#[]:;?%\n", max_size=10).map(lambda around: f"{around}{SECRET}{around}"),
    st.sampled_from([
        "SELECT * FROM people WHERE mail = {}",
        "INSERT INTO people (mail) VALUES ({})", "SELECT {} AS a, 5 FROM people",
        "UPDATE people SET mail = {} WHERE id = -1", "SELECT 1 -- {}", "/* {} */ DELETE FROM people", "NO {}",
        "SELECT nowhere({})", "SELECT * FROM people WHERE mail LIKE {} ESCAPE 5",
    ]),
)  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_value_reaches_a_span(recorder: Recorder, engine: Engine, value: str, statement: str) -> None:
    literal = "'" + value.replace("'", "''").replace("*/", "").replace("\n", " ") + "'"

    def run(call: Callable[[Connection], Any]) -> None:
        # A driver's error quotes the value to the caller, which is not a span.
        with suppress(SQLAlchemyError), engine.begin() as connection:
            call(connection)

    recorded = len(recorder.spans())
    run(lambda connection: connection.exec_driver_sql(statement.format(literal)).all())
    run(lambda connection: connection.execute(text(statement.format(":value")), {"value": value}).all())
    run(lambda connection: connection.execute(insert(PEOPLE).values(mail=value)))
    run(lambda connection: connection.execute(insert(PEOPLE), [{"mail": value}, {"mail": value}]))
    spans = [span for span in recorder.spans()[recorded:] if span.kind is SpanKind.CLIENT]
    assert spans
    assert SECRET.lower() not in " ".join(span.to_json() for span in spans).lower()


# --- transactions -----------------------------------------------------------------------------------------------------


def test_a_transaction_that_wrote_ends_with_a_span(recorder: Recorder, engine: Engine) -> None:
    with recorder.traces.span("request") as request:
        with engine.begin() as connection:
            connection.execute(insert(PEOPLE).values(mail=ADA))
        with engine.connect() as connection:
            connection.execute(insert(PEOPLE).values(mail="b@example.com"))
            connection.rollback()
            connection.execute(insert(PEOPLE).values(mail="c@example.com"))
            # Not committed, so it is rolled back when the connection returns to the pool.
    assert _names(recorder) == [
        "INSERT people",
        "COMMIT",
        "INSERT people",
        "ROLLBACK",
        "INSERT people",
        "ROLLBACK",
        "request",
    ]
    commit = recorder.one("COMMIT")
    assert commit.kind is SpanKind.CLIENT
    assert commit.parent is not None
    assert commit.parent.span_id == request.get_span_context().span_id
    assert _attributes(commit) == {
        "db.system.name": "sqlite",
        "db.namespace": engine.url.database,
        "db.operation.name": "COMMIT",
        "db.query.summary": "COMMIT",
    }


def test_a_transaction_that_only_read_ends_without(recorder: Recorder, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(select(PEOPLE))
    with engine.connect() as connection:
        connection.execute(select(PEOPLE))
        connection.rollback()
        connection.rollback()
    assert _names(recorder) == ["SELECT people"] * 2


def test_what_a_lost_connection_wrote_is_not_that_of_the_next(recorder: Recorder, engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(insert(PEOPLE), {"mail": ADA})
        connection.invalidate()
    with engine.begin() as connection:
        connection.execute(select(PEOPLE))
    assert _names(recorder) == ["INSERT people", "SELECT people"]


def test_a_failed_commit_fails_its_span_and_quotes_nothing(recorder: Recorder, engine: Engine) -> None:
    owner = "471147114711471147"  # long enough to occur in no random id and in no time of the span
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        connection.exec_driver_sql("CREATE TABLE pets (owner INT REFERENCES people (id) DEFERRABLE INITIALLY DEFERRED)")
        connection.commit()
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        connection.exec_driver_sql(f"INSERT INTO pets VALUES ({owner})")
        with pytest.raises(IntegrityError):
            connection.commit()
    _, failed = (span for span in recorder.spans() if span.name == "COMMIT")
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.status.description == "IntegrityError"
    assert _attributes(failed)["db.response.status_code"] == "SQLITE_CONSTRAINT_FOREIGNKEY"
    assert owner not in failed.to_json()


# --- pool -------------------------------------------------------------------------------------------------------------


def test_pool_statistics(recorder: Recorder, engine: Engine) -> None:
    registry = CollectorRegistry()
    registry.register(instrument_engine(engine, recorder.traces))
    pool = {"pool": engine.url.database or ""}

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"db_client_connection_{name}", {**pool, **labels})

    with engine.connect(), engine.connect():
        assert (value("count", state="used"), value("count", state="idle")) == (2, 0)
        assert (value("pool_size"), value("overflow")) == (1, 1)
        with pytest.raises(PoolTimeoutError):
            engine.connect()
    assert (value("count", state="used"), value("count", state="idle")) == (0, 1)
    assert value("timeouts_total") == 1
    assert value("wait_seconds_count") == 2
    assert value("wait_seconds_bucket", le="10.0") == 2
    engine.dispose()
    assert value("count", state="idle") == 0


def test_each_wait_is_counted(recorder: Recorder, engine: Engine) -> None:
    registry = CollectorRegistry()
    registry.register(instrument_engine(engine, recorder.traces))

    def take(times: int) -> None:
        for _ in range(times):
            engine.connect().close()

    with ThreadPoolExecutor(2) as threads:
        for taken in [threads.submit(take, 400) for _ in range(2)]:
            taken.result()
    pool = {"pool": engine.url.database or ""}
    for _ in range(2):
        assert registry.get_sample_value("db_client_connection_wait_seconds_count", pool) == 800


def test_pools_of_other_kinds_show_what_they_have(recorder: Recorder) -> None:
    registry = CollectorRegistry()
    registry.register(instrument_engine(create_engine("sqlite://"), recorder.traces))
    assert registry.get_sample_value("db_client_connection_timeouts_total", {"pool": "sqlite"}) == 0
    assert registry.get_sample_value("db_client_connection_pool_size", {"pool": "sqlite"}) is None


def test_waiting_for_a_connection_shows_on_the_first_statement(recorder: Recorder) -> None:
    def connect() -> sqlite3.Connection:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass
        return sqlite3.connect(":memory:")

    engine = create_engine("sqlite://", creator=connect)
    instrument_engine(engine, recorder.traces)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        connection.execute(text("SELECT 2"))
    first, second = recorder.spans()
    assert _attributes(first)["lean_tracing.db.pool_wait_ms"] >= 2.0
    assert "lean_tracing.db.pool_wait_ms" not in _attributes(second)
    engine.dispose()
