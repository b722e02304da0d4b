"""Two real PostgreSQL servers with TLS: a primary, and a standby that has what the primary has committed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from checks.harness.certificates import self_signed
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess
from contracts.errors import UserError
from stack.components.postgres.database import DATABASE, ROLE
from stack.components.postgres.settings import ExternalPostgres

PASSWORD: Final = "a-password-for-tests"
_HBA: Final = "hostssl all all all scram-sha-256\nhostssl replication all all scram-sha-256\n"


class MissingProgram(UserError):
    """This machine has no PostgreSQL server."""


class PostgresServers:
    """The servers, and the settings of a stack that uses them."""

    def __init__(self, directory: Path, host: str, address: str) -> None:
        """Prepares the processes.

        Args:
            directory: of all files.
            host: the name or address by which clients reach them, which is in their certificate.
            address: where they listen.

        Raises:
            MissingProgram: there is no PostgreSQL server.
        """
        self._directory = directory
        self._address = address
        self._programs = _programs()
        self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if _is_root() else []
        key, certificate = self_signed(host)
        self._write("server.key", key)
        self._write("server.crt", certificate)
        self._ports = {name: free_port() for name in ("primary", "standby")}
        self.external = ExternalPostgres(
            # The standby first: a client must go on to the next one.
            hosts=tuple(f"{host}:{self._ports[server]}" for server in ("standby", "primary")),
            ca=certificate.decode(),
        )
        self.ca = directory / "server.crt"
        self._servers = {name: self._server(name) for name in self._ports}

    def start(self) -> None:
        """Makes the database and starts both servers; a commit waits for the standby."""
        password = self._write("password", PASSWORD.encode())
        self.run("initdb", "-D", self._data("primary"), "-U", ROLE, "--auth=scram-sha-256", f"--pwfile={password}")
        (self._data("primary") / "pg_hba.conf").write_text(_HBA)
        self._servers["primary"].start()
        self.run("createdb", *self._connection("primary"), DATABASE)
        self.run(
            "pg_basebackup",
            *self._connection("primary"),
            "--checkpoint=fast",
            "-R",
            "-D",
            self._data("standby"),
            "-C",
            "-S",
            "standby",
        )
        self._servers["standby"].start()
        self.sql("primary", "ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.sql("primary", "SELECT pg_reload_conf()")

    def fail_over(self) -> None:
        """Kills the primary, and makes the standby the new one, as a failover manager does."""
        self._servers["primary"].kill()
        self.run("pg_ctl", "promote", "-w", "-D", self._data("standby"))

    def restore(self, dump: Path, database: str) -> None:
        """Restores a dump into a new database of the standby that was promoted."""
        self.run("createdb", *self._connection("standby"), database)
        self.run("pg_restore", *self._connection("standby"), "--no-owner", "-d", database, dump)

    def dump(self) -> Path:
        """Makes a dump of the tasks on the standby that was promoted."""
        target = self._directory / "tasks.dump"
        self.run("pg_dump", *self._connection("standby"), "--format=custom", f"--file={target}", DATABASE)
        return target

    def sql(self, server: str, statement: str) -> None:
        """Runs a statement."""
        self.run("psql", *self._connection(server), "-d", DATABASE, "-c", statement)

    def kill(self) -> None:
        """Ends both."""
        for server in self._servers.values():
            server.kill()

    def run(self, program: str, *arguments: str | Path) -> None:
        """Runs one of PostgreSQL's programs as the user of the servers."""
        result = subprocess.run(
            [*self._as_user, self._programs / program, *arguments],
            env=os.environ | {"PGPASSWORD": PASSWORD, "HOME": str(self._directory)},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr

    def _connection(self, server: str) -> list[str]:
        return ["-h", self._address, "-p", str(self._ports[server]), "-U", ROLE]

    def _data(self, server: str) -> Path:
        return self._directory / server

    def _write(self, name: str, content: bytes) -> Path:
        """Writes a file that only the user of the servers can read."""
        file = self._directory / name
        file.touch(mode=0o600)
        file.write_bytes(content)
        if self._as_user:
            shutil.chown(file, "postgres", "postgres")
        return file

    def _server(self, name: str) -> ServerProcess:
        settings = {
            "listen_addresses": self._address,
            "unix_socket_directories": "",
            "ssl": "on",
            "ssl_cert_file": self._directory / "server.crt",
            "ssl_key_file": self._directory / "server.key",
        }
        port = self._ports[name]
        command = [
            *self._as_user,
            str(self._programs / "postgres"),
            *("-D", str(self._data(name)), "-p", str(port)),
            *(part for key, value in settings.items() for part in ("-c", f"{key}={value}")),
        ]
        is_ready = [str(self._programs / "pg_isready"), "-q", "-h", self._address, "-p", str(port)]
        return ServerProcess(
            name,
            command,
            self._directory,
            lambda: subprocess.run(is_ready, check=False).returncode == 0,
            {"HOME": str(self._directory)},
        )


def _is_root() -> bool:
    return os.geteuid() == 0  # the server refuses to run as root


def _programs() -> Path:
    """The folder of PostgreSQL's programs."""
    candidates = [shutil.which("initdb") or "", *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))]
    initdb = next((Path(path) for path in candidates if path), None)
    if initdb is None:
        raise MissingProgram("initdb is missing: install a PostgreSQL server")
    return initdb.resolve().parent


@contextmanager
def postgres_servers(host: str = "localhost", address: str = "127.0.0.1") -> Iterator[PostgresServers]:
    """Runs a primary and a standby, in a folder that their user can enter.

    Args:
        host: the name or address by which clients reach them, which is in their certificate.
        address: where they listen.

    Raises:
        MissingProgram: there is no PostgreSQL server.
    """
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        if _is_root():
            shutil.chown(folder, "postgres", "postgres")
        servers = PostgresServers(Path(folder), host, address)
        try:
            servers.start()
            yield servers
        finally:
            servers.kill()
