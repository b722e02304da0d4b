"""The task-manager's adapter works with real servers: with TLS that is verified, and after a failover."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from checks.harness.certificates import self_signed
from checks.harness.postgres_servers import PASSWORD, MissingProgram, PostgresServers, postgres_servers
from contracts.tasks import TaskStatus
from service.common.errors import Unavailable
from service.task_manager.domain import Task
from service.task_manager.postgres import SqlUnitOfWork, build_engine
from stack.components.postgres.access import CA_FILE
from stack.components.postgres.external import external_database
from stack.components.postgres.settings import ExternalPostgres
from stack.polling import poll_until
from tests.support.programs import skipping


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresServers]:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with skipping("initdb", MissingProgram), postgres_servers() as started:
        yield started


def database(external: ExternalPostgres, ca: Path) -> SqlUnitOfWork:
    """The adapter with the URL of the pod; `ca` is the file that the ConfigMap becomes."""
    without_ca = external.model_copy(update={"ca": None})  # which needs no Pulumi program
    access = external_database(without_ca, "tracing", "secret")
    assert isinstance(access.url, str)
    public = "/etc/ssl/certs/ca-certificates.crt"
    assert public in access.url
    return SqlUnitOfWork(build_engine(access.url.replace(public, str(ca))))


def refusal(external: ExternalPostgres, ca: Path) -> str:
    """The driver's reason for which the database cannot be used."""
    with pytest.raises(Unavailable) as caught:
        database(external, ca).ensure_schema()
    return str(caught.value.__cause__)


def new_task() -> Task:
    now = datetime.now(UTC)
    values: dict[str, Any] = {"user_email": "ada@example.com", "user_query": "?", "url": "http://site.example/"}
    return Task(id=uuid.uuid4(), status=TaskStatus.NEW, result=None, created_at=now, updated_at=now, **values)


def test_after_a_failover_no_committed_task_is_lost_and_the_next_one_is_stored(servers: PostgresServers) -> None:
    tasks = database(servers.external, servers.ca)
    committed = [new_task() for _ in range(20)]
    for task in committed:
        with tasks.begin() as repository:
            assert repository.add(task)

    servers.fail_over()
    after = new_task()

    def is_stored() -> bool:
        try:
            with tasks.begin() as repository:
                return repository.add(after) or repository.get(after.id) is not None
        except Unavailable:
            return False

    # The first attempt finds the closed connections, and the second one connects to the new primary.
    poll_until("a task in the new primary", is_stored, seconds=10)
    with tasks.begin() as repository:
        assert all(repository.get(task.id) for task in (*committed, after))
    tasks.stop()

    servers.restore(servers.dump(), "restored")
    restored = database(servers.external.model_copy(update={"database": "restored"}), servers.ca)
    with restored.begin() as repository:
        assert len(repository.list(limit=100)) == 21
    restored.stop()


def test_another_server_and_a_wrong_password_are_refused(
    servers: PostgresServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / CA_FILE
    other.write_bytes(self_signed("localhost")[1])
    assert "certificate verify failed" in refusal(servers.external, other)
    # The certificate is localhost's.
    addresses = tuple(host.replace("localhost", "127.0.0.1") for host in servers.external.hosts)
    by_address = servers.external.model_copy(update={"hosts": addresses})
    assert 'does not match host name "127.0.0.1"' in refusal(by_address, servers.ca)
    monkeypatch.setenv("PGPASSWORD", "wrong")
    assert "password authentication failed" in refusal(servers.external, servers.ca)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    database(servers.external, servers.ca).ensure_schema()
