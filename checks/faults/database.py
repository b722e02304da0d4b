"""Changes of the database that are faults while they last."""

import contextlib
import threading
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from checks.chaos.cluster import LocalCluster
from checks.faults.changes import Change, new_password
from contracts import endpoints, secret_keys
from contracts.tasks import TABLE
from stack.components.postgres.database import DATABASE, ROLE, SERVICE_ROLE
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret

_LOCKED_SECONDS = 0.8
_PASSWORDS = {ROLE: secret_keys.POSTGRES_PASSWORD, SERVICE_ROLE: secret_keys.POSTGRES_SERVICE_PASSWORD}
_END_OTHERS = "select pg_terminate_backend(pid) from pg_stat_activity where client_addr <> inet_client_addr()"


def role_of(cluster: LocalCluster) -> str:
    """The role of the task-manager: it may end its own sessions, and set its own password."""
    return SERVICE_ROLE if cluster.settings.encryption.postgres else ROLE


def password_of(cluster: LocalCluster) -> str:
    """The password of that role that the stack's Secret has."""
    values = read_secret(connect(cluster.settings.cluster), cluster.namespace, secret_keys.SECRET)
    return values[_PASSWORDS[role_of(cluster)]]


def open_database(cluster: LocalCluster, password: str) -> "psycopg.Connection[Any]":
    """A connection from this machine, as that role."""
    return psycopg.connect(
        host=cluster.address(endpoints.POSTGRES),
        port=endpoints.POSTGRES_PORT,
        dbname=DATABASE,
        user=role_of(cluster),
        password=password,
        autocommit=True,
        connect_timeout=10,
    )


@dataclass(kw_only=True)
class TableLocked:
    """Another session locks the table of the tasks most of the time; it ends with this process."""

    _ended: threading.Event = field(default_factory=threading.Event, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)

    def apply(self, cluster: LocalCluster) -> None:
        connection = open_database(cluster, password_of(cluster))
        self._thread = threading.Thread(target=self._lock, args=(connection,), daemon=True)
        self._thread.start()

    def _lock(self, connection: "psycopg.Connection[Any]") -> None:
        with connection:
            while not self._ended.is_set():
                with connection.transaction():
                    connection.execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
                    self._ended.wait(_LOCKED_SECONDS)

    def undo(self, cluster: LocalCluster) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join()


def table_locked(_cluster: LocalCluster) -> Change:
    """Statements wait for a lock, and succeed."""
    return TableLocked()


@dataclass(kw_only=True)
class ConnectionsTaken:
    """Another program uses all connections of the database; it ends with this process."""

    _ended: threading.Event = field(default_factory=threading.Event, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)

    def apply(self, cluster: LocalCluster) -> None:
        password = password_of(cluster)
        first = open_database(cluster, password)
        self._thread = threading.Thread(target=self._take, args=(cluster, password, first), daemon=True)
        self._thread.start()

    def _take(self, cluster: LocalCluster, password: str, first: "psycopg.Connection[Any]") -> None:
        with contextlib.ExitStack() as connections:
            connections.enter_context(first)
            while not self._ended.is_set():
                try:
                    connections.enter_context(open_database(cluster, password))
                except psycopg.OperationalError:  # all are in use
                    with contextlib.suppress(psycopg.Error):
                        first.execute(_END_OTHERS)
                    self._ended.wait(0.05)

    def undo(self, cluster: LocalCluster) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join()


def connections_taken(_cluster: LocalCluster) -> Change:
    """The task-manager gets no connection."""
    return ConnectionsTaken()


@dataclass(frozen=True, kw_only=True)
class PasswordChanged:
    """The database has another password than the Secret."""

    password: str

    def apply(self, cluster: LocalCluster) -> None:
        with open_database(cluster, password_of(cluster)) as connection:
            self._set(connection, role_of(cluster), self.password)
            # A connection that is open stays valid.
            connection.execute(_END_OTHERS)

    def undo(self, cluster: LocalCluster) -> None:
        right = password_of(cluster)
        try:
            open_database(cluster, right).close()
        except psycopg.OperationalError:
            with open_database(cluster, self.password) as connection:
                self._set(connection, role_of(cluster), right)

    @staticmethod
    def _set(connection: "psycopg.Connection[Any]", role: str, password: str) -> None:
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
        connection.execute(statement.format(sql.Identifier(role), sql.Literal(password)))


def password_changed(_cluster: LocalCluster) -> Change:
    """The database's password is changed, and the services still have the old one."""
    return PasswordChanged(password=new_password())
