"""The readiness probe of Postgres succeeds with a real server, and leaves no error in its log."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.harness.ports import free_port
from checks.harness.server import ServerProcess
from stack.components.postgres.component import READY, access_rules
from stack.polling import poll_until
from tests.support.programs import skip_missing

PORT = free_port()
REFUSAL = "no pg_hba.conf entry"


@pytest.fixture(scope="module")
def programs() -> Path:
    path = shutil.which("initdb") or skip_missing("initdb", "install a PostgreSQL server")
    return Path(path).resolve().parent


def is_ready(programs: Path, *arguments: str) -> bool:
    """Runs the probe; a later argument replaces an earlier one of the same name."""
    command = [str(programs / "pg_isready"), *READY, "-p", str(PORT), *arguments]
    return subprocess.run(command, check=False).returncode == 0


@pytest.fixture
def server(programs: Path) -> Iterator[ServerProcess]:
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        if as_user:
            shutil.chown(folder, "postgres", "postgres")
        data = Path(folder) / "data"
        subprocess.run(
            [*as_user, programs / "initdb", "-D", data, "--no-sync"], check=True, capture_output=True, cwd="/"
        )
        (data / "pg_hba.conf").write_text(f"{access_rules(encrypted=False)}\n")
        command = [*as_user, str(programs / "postgres"), "-D", str(data), "-p", str(PORT), "-k", ""]
        server = ServerProcess("postgres", command, Path(folder), lambda: is_ready(programs))
        server.start()
        yield server
        server.kill()


def test_the_probe_leaves_no_refusal_in_the_log(server: ServerProcess, programs: Path) -> None:
    assert is_ready(programs)
    assert REFUSAL not in server.log
    assert is_ready(programs, "-U", "postgres"), "any answer of the server counts"
    poll_until("the refusal of another user", lambda: REFUSAL in server.log)
    assert server.log.count(REFUSAL) == 1, "the probe's own role leaves none"
