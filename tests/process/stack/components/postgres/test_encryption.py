"""The stack's own Postgres with TLS: who gets in, what each role can do, and how the certificate is renewed."""

import socket
import ssl
import struct
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from contracts.tasks import TaskStatus
from service.common.errors import Unavailable
from service.task_manager import migrations
from service.task_manager.domain import Task
from service.task_manager.postgres import SqlUnitOfWork, build_engine
from stack.components.encryption.authority import Authority
from stack.components.postgres.database import DATABASE, ROLE, SERVICE_ROLE
from stack.polling import poll_until
from tests.support.stack_postgres import PASSWORDS, StackPostgres, stack_postgres

FORBIDDEN = (
    "CREATE TABLE mine (id int)",
    "CREATE TEMPORARY TABLE mine (id int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "ALTER TABLE web_crawl_tasks ADD COLUMN mine int",
    "CREATE INDEX mine ON web_crawl_tasks (id)",
    "TRUNCATE web_crawl_tasks",
    "DROP TABLE web_crawl_tasks",
    "UPDATE alembic_version SET version_num = '0001'",
    "DELETE FROM alembic_version",
    "SELECT * FROM another",
    "INSERT INTO another VALUES (1)",
    "SELECT rolpassword FROM pg_authid",
    "SELECT pg_read_file('/etc/hostname')",
    "COPY web_crawl_tasks TO PROGRAM 'cat'",
    f"SET ROLE {ROLE}",
    f"ALTER ROLE {ROLE} PASSWORD 'mine'",
    f"GRANT SELECT ON another TO {SERVICE_ROLE}",
    "CREATE ROLE mine",
    "CREATE DATABASE mine",
    "ALTER SYSTEM SET ssl = off",
    "SELECT pg_reload_conf()",
)


@pytest.fixture(scope="module")
def server() -> Iterator[StackPostgres]:
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder, stack_postgres(Path(folder)) as server:
        server.start(encrypted=True)
        assert server.migrate() == 0
        with server.connect(ROLE) as connection:
            connection.execute("CREATE TABLE another (id int)")
        yield server


def new_task() -> Task:
    now = datetime.now(UTC)
    values: dict[str, Any] = {"user_email": "ada@example.com", "user_query": "?", "url": "http://site.example/"}
    return Task(id=uuid.uuid4(), status=TaskStatus.NEW, result=None, created_at=now, updated_at=now, **values)


def tasks_of_the_service(url: str, monkeypatch: pytest.MonkeyPatch) -> SqlUnitOfWork:
    """Returns the task-manager's adapter, with the password of its role."""
    monkeypatch.setenv("PGPASSWORD", PASSWORDS[SERVICE_ROLE])
    return SqlUnitOfWork(build_engine(url))


def serial_number(server: StackPostgres) -> str:
    """Returns that of the certificate which a new client gets."""
    context = ssl.create_default_context(cafile=server.ca)
    with socket.create_connection(("localhost", server.port), timeout=10) as plain:
        plain.sendall(struct.pack("!ii", 8, 80877103))  # SSLRequest
        assert plain.recv(1) == b"S"
        with context.wrap_socket(plain, server_hostname="localhost") as encrypted:
            certificate = encrypted.getpeercert()
            assert certificate
            return str(certificate["serialNumber"])


@pytest.mark.parametrize("role", [ROLE, SERVICE_ROLE])
def test_without_tls_no_role_gets_in(server: StackPostgres, role: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        server.connect(role, sslmode="disable")
    with server.connect(role) as connection:
        row = connection.execute("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    assert row == ("TLSv1.3",)


def test_clients_refuse_another_authority_and_another_name(
    server: StackPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "ca.crt"
    other.write_text(Authority("another random text, of which nothing else is known").certificate)
    for url, reason in (
        (server.url(SERVICE_ROLE, ca=other), "certificate verify failed"),
        (server.url(SERVICE_ROLE, host="127.0.0.1"), "does not match host name"),
    ):
        with pytest.raises(Unavailable) as caught:
            tasks_of_the_service(url, monkeypatch).ensure_schema()
        assert reason in str(caught.value.__cause__)


def test_the_service_does_its_work(server: StackPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks, task = tasks_of_the_service(server.url(SERVICE_ROLE), monkeypatch), new_task()
    tasks.ensure_schema()
    with tasks.begin() as repository:
        assert repository.add(task)
        stored = repository.get(task.id, for_update=True)
        assert stored is not None
        repository.update(stored.complete({"title": "t"}, datetime.now(UTC)))
    with tasks.begin() as repository:
        assert [item.status for item in repository.list(limit=10)] == [TaskStatus.COMPLETED]
    tasks.stop()
    with server.connect(SERVICE_ROLE) as connection:
        assert connection.execute("DELETE FROM web_crawl_tasks").rowcount == 1


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_service_can_do_nothing_else(server: StackPostgres, statement: str) -> None:
    with server.connect(SERVICE_ROLE) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


@pytest.mark.parametrize("database", ["postgres", "template1"])
def test_there_is_no_way_into_another_database(server: StackPostgres, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        server.connect(SERVICE_ROLE, database=database)


def test_a_renewed_certificate_is_used_without_a_restart(server: StackPostgres) -> None:
    previous = serial_number(server)
    with server.connect(SERVICE_ROLE) as connection:
        server.renew(periods=-1)  # the earlier one is still valid, a later one is not yet
        poll_until("the new certificate", lambda: serial_number(server) != previous, seconds=30, every=0.5)
        assert connection.execute("SELECT 1").fetchone() == (1,), "open connections stay"


def test_a_database_from_before_gets_tls_and_roles_and_can_go_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder, stack_postgres(Path(folder)) as server:
        server.start(encrypted=False)
        plain = f"postgresql+psycopg://{ROLE}:{PASSWORDS[ROLE]}@127.0.0.1:{server.port}/{DATABASE}"
        owner = SqlUnitOfWork(build_engine(plain))
        owner.ensure_schema()
        task = new_task()
        with owner.begin() as repository:
            repository.add(task)
        owner.stop()
        assert server.stop() == 0

        for _ in range(2):  # the second start finds the roles
            server.start(encrypted=True)
            assert server.migrate() == 0
            tasks = tasks_of_the_service(server.url(SERVICE_ROLE), monkeypatch)
            with tasks.begin() as repository:
                assert repository.get(task.id) == task
            tasks.stop()
            assert server.stop() == 0

        server.start(encrypted=False)
        engine = build_engine(plain)
        assert migrations.current(engine) == migrations.HEAD
        engine.dispose()
        assert server.stop() == 0


def test_a_task_manager_from_before_uses_tls_once_the_server_has_it() -> None:
    """So one deployment switches a running stack: it refuses no pod of the task-manager that is not replaced yet."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder, stack_postgres(Path(folder)) as server:
        server.start(encrypted=False)
        engine = build_engine(f"postgresql+psycopg://{ROLE}:{PASSWORDS[ROLE]}@127.0.0.1:{server.port}/{DATABASE}")
        tasks, task = SqlUnitOfWork(engine), new_task()
        tasks.ensure_schema()
        engine.dispose()  # the server waits for the end of its connections
        assert server.stop() == 0
        server.start(encrypted=True)
        with tasks.begin() as repository:
            assert repository.add(task)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").scalar()
        assert server.migrate() == 0
        with tasks.begin() as repository:
            assert repository.get(task.id) == task, "the migration leaves its rights"
        tasks.stop()
        assert server.stop() == 0
