"""Fixtures for services: tracing that keeps its spans, mock brokers inside the process, and a Postgres server."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from checks.harness.ports import free_port
from contracts.span_attributes import PREFIX
from lean_tracing.testing import Recorder
from stack.polling import poll_until
from tests.support.brokers import mock_brokers
from tests.support.programs import skip_missing


@pytest.fixture(scope="session")
def attribute_prefix() -> str:
    """Of the attributes that are not standard; the tests of the library itself have another one."""
    return PREFIX


@pytest.fixture(scope="module")
def make_recorder(attribute_prefix: str) -> Iterator[Callable[[str], Recorder]]:
    made: list[Recorder] = []

    def make(service_name: str) -> Recorder:
        recorder = Recorder(service_name, attribute_prefix=attribute_prefix)
        made.append(recorder)
        return recorder

    yield make
    for recorder in made:
        recorder.close()


@pytest.fixture
def recorder(make_recorder: Callable[[str], Recorder]) -> Recorder:
    return make_recorder("under-test")


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Addresses of a mock cluster inside this process; it creates a topic at the first request for it."""
    with mock_brokers() as brokers:
        yield brokers.addresses


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a new Postgres server; without its programs, the tests that use it are skipped."""
    candidates = [shutil.which("initdb") or "", *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))]
    initdb = next((Path(path) for path in candidates if path), None)
    if initdb is None:
        skip_missing("initdb", "install a PostgreSQL server")
    bin_directory = initdb.resolve().parent
    base = tmp_path_factory.mktemp("postgres")
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(base, "postgres", "postgres")
        for parent in base.parents:
            if parent.owner() == "root" and parent != Path("/") and parent.name.startswith(("pytest-", "popen-")):
                parent.chmod(0o711)
    port = free_port()
    data = base / "data"
    subprocess.run(
        [*as_user, bin_directory / "initdb", "-D", data, "-U", "tasks", "--auth=trust", "--no-sync"],
        check=True,
        capture_output=True,
        cwd="/",
    )
    server = subprocess.Popen(
        [*as_user, bin_directory / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", "", "-F"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    try:
        url = f"postgresql+psycopg://tasks@127.0.0.1:{port}/postgres"

        def answers() -> bool:
            # The server takes connections before it is ready, and refuses their sessions.
            try:
                psycopg.connect(url.replace("+psycopg", "")).close()
            except psycopg.OperationalError:
                return False
            return True

        poll_until("Postgres", answers)
        yield url
    finally:
        server.terminate()
        server.wait(20)
