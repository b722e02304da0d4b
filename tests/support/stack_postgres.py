"""The stack's own Postgres as processes of this machine: prepared and started by the scripts of its pod."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from unittest.mock import patch

import psycopg

from checks.harness.ports import free_port
from checks.harness.server import ServerProcess
from service.task_manager.migrate import main
from stack.components.encryption.authority import RENEWAL, Authority
from stack.components.encryption.server import CERTIFICATE_FILE, KEY_FILE
from stack.components.postgres.access import CA_FILE, CA_FOLDER, verified_url
from stack.components.postgres.component import DATA, PREPARE, READY, SERVE, access_rules, server_arguments
from stack.components.postgres.database import DATABASE, ROLE, SERVICE_ROLE
from tests.support.programs import skip_missing

PASSWORDS: Final = {ROLE: "password-of-the-owner", SERVICE_ROLE: "password-of-the-service"}
_SEED: Final = "a random text of the tests, which is long enough"
_PROGRAMS: Final = Path("/usr/lib/postgresql/15/bin")
"""Of Debian's package, as in the image."""


class StackPostgres:
    """One server, with or without TLS, on the same data."""

    def __init__(self, folder: Path) -> None:
        """folder: for the data, the certificate and the log; belongs to the server's user."""
        self._folder = folder
        self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if _is_root() else []
        self._authority = Authority(_SEED)
        self._server: ServerProcess | None = None
        self.port = free_port()
        self.ca = folder / CA_FILE
        self.ca.write_text(self._authority.certificate)

    def start(self, *, encrypted: bool) -> None:
        """Prepares the data as the init container does, and starts the server as the main container does."""
        self.renew(periods=0)
        roles = {"PASSWORD": PASSWORDS[ROLE], "SERVICE_PASSWORD": PASSWORDS[SERVICE_ROLE]}
        environment = {
            **os.environ,
            **roles,
            "ACCESS": access_rules(encrypted=encrypted),
            "SERVICE_ROLE": SERVICE_ROLE if encrypted else "",
        }
        prepared = subprocess.run(
            [*self._as_user, "sh", "-c", PREPARE.replace(DATA, str(self._folder / "data"))],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert prepared.returncode == 0, prepared.stdout + prepared.stderr
        arguments = server_arguments(str(self._folder) if encrypted else None)
        data = self._folder / "data" / "pgdata"
        server = [str(_PROGRAMS / "postgres"), "-D", str(data), *arguments, "-p", str(self.port), "-k", ""]
        watched = ["sh", str(SERVE), str(self._folder / CERTIFICATE_FILE)] if encrypted else []
        is_ready = [str(_PROGRAMS / "pg_isready"), *READY, "-p", str(self.port)]
        self._server = ServerProcess(
            "postgres",
            [*self._as_user, *watched, *server],
            self._folder,
            lambda: subprocess.run(is_ready, check=False).returncode == 0,
        )
        self._server.start()

    def stop(self) -> int | None:
        """Stops the server as the kubelet does, and returns its exit code."""
        return self._server.stop() if self._server else None

    def renew(self, *, periods: int) -> None:
        """Writes the certificate of another period, counted from this one, as the kubelet updates a Secret's files."""
        issued = self._authority.issue("postgres", ["localhost"], datetime.now(UTC) + periods * RENEWAL)
        for name, content in ((KEY_FILE, issued.key), (CERTIFICATE_FILE, issued.certificate)):
            file = self._folder / name
            file.touch(mode=0o600)
            file.write_text(content)
            if self._as_user:
                shutil.chown(file, "postgres", "postgres")

    def url(self, role: str, host: str = "localhost", ca: Path | None = None) -> str:
        """Return the URL of the pod, with the files of this machine."""
        url = verified_url([f"{host}:{self.port}"], DATABASE, role, own_ca=True)
        return url.replace(f"{CA_FOLDER}/{CA_FILE}", str(ca or self.ca))

    def connect(self, role: str, *, sslmode: str = "require", database: str = DATABASE) -> "psycopg.Connection":
        """Return a connection that does not verify the server."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            dbname=database,
            user=role,
            password=PASSWORDS[role],
            sslmode=sslmode,
            autocommit=True,
            connect_timeout=10,
        )

    def migrate(self) -> int:
        """Runs the init container of the task-manager, and returns its exit code."""
        owner = {"DATABASE_URL": self.url(ROLE), "PGPASSWORD": PASSWORDS[ROLE]}
        with patch.dict(os.environ, owner):
            return main(["upgrade", "--wait=10", f"--grant={SERVICE_ROLE}"])


@contextmanager
def stack_postgres(folder: Path) -> Iterator[StackPostgres]:
    """Gives a server that is not started yet, and ends it; skips the test if the machine has no PostgreSQL 15."""
    if not (_PROGRAMS / "initdb").exists():
        skip_missing("PostgreSQL 15", "install Debian's package postgresql-15")
    if _is_root():
        shutil.chown(folder, "postgres", "postgres")
    server = StackPostgres(folder)
    try:
        yield server
    finally:
        server.stop()


def _is_root() -> bool:
    return os.geteuid() == 0  # the server refuses to run as root
