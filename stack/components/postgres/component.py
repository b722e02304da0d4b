"""PostgreSQL: the database of the tasks, one instance on its own volume."""

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, secret_keys, versions
from stack.components.postgres.database import DATABASE, ROLE
from stack.components.postgres.settings import Postgres as PostgresSettings
from stack.components.shared.availability import Shutdown
from stack.components.shared.environment import secret_variable
from stack.components.shared.pod import Container, Pod, container_security, resources
from stack.components.shared.probes import Probes, exec_probe, tcp_probe
from stack.components.shared.service import services
from stack.components.shared.storage import Storage
from stack.components.shared.workload import Volume, stateful_set

_BIN: Final = "/usr/lib/postgresql/15/bin"
_DATA: Final = "/var/lib/postgresql/data"
_CLUSTER: Final = f"{_DATA}/pgdata"  # a folder of the volume: initdb refuses a mount point with lost+found in it
_UID: Final = 999
# pg_isready logs in without a password, and any answer of the server counts. A user or a database that pg_hba.conf does
# not have is an error in the server's log; with the role of the tasks, the server asks for a password and logs nothing.
READY: Final = ("-q", "-h", "127.0.0.1", "-p", str(endpoints.POSTGRES_PORT), "-U", ROLE, "-d", DATABASE)
"""Arguments of `pg_isready` in the pod."""
ACCESS: Final = f"host {DATABASE} {ROLE} all scram-sha-256"
"""The only line of `pg_hba.conf`."""

# Runs before every start. It sets the role's password to the one in the Secret, so a rotation needs only a restart.
# Single-user mode needs no server, does not listen, and reads one statement a line. It reports errors but exits with 0,
# so the script searches its output for them.
_PREPARE: Final = f"""
set -eu
case "$PASSWORD" in
  *[!A-Za-z0-9_-]*|"") echo "postgresPassword: must be one or more letters, digits, - and _" >&2; exit 1;;
esac
if [ ! -s {_CLUSTER}/PG_VERSION ]; then
  rm -rf {_CLUSTER}
  {_BIN}/initdb -D {_CLUSTER} -U postgres --auth-local=reject --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
  echo "{ACCESS}" > {_CLUSTER}/pg_hba.conf
fi
# Left by a server that was killed. It names process 1, which here is this shell, so nobody else would call it stale;
# a StatefulSet runs one pod at a time, so it is.
rm -f {_CLUSTER}/postmaster.pid
say() {{
  out=$(printf '%s\\n' "$1" | {_BIN}/postgres --single -j -D {_CLUSTER} postgres 2>&1) || {{ echo "$out" >&2; exit 1; }}
  case "$out" in *ERROR:*|*FATAL:*) echo "$out" >&2; exit 1;; esac
}}
[ -e {_CLUSTER}/prepared ] || say "CREATE ROLE {ROLE} LOGIN;
"
[ -e {_CLUSTER}/prepared ] || say "CREATE DATABASE {DATABASE} OWNER {ROLE};
"
say "ALTER ROLE {ROLE} PASSWORD '$PASSWORD';
"
touch {_CLUSTER}/prepared
"""


@dataclass(frozen=True, kw_only=True)
class PostgresArgs:
    namespace: pulumi.Input[str]
    secret: pulumi.Input[str]
    """Name of the Secret with the role's password."""
    settings: PostgresSettings
    storage_class: str | None


class Postgres(pulumi.ComponentResource):
    """PostgreSQL with one database and the role that owns it; the superuser cannot log in."""

    url: pulumi.Output[str]
    """SQLAlchemy URL without the password, which clients take from the Secret as PGPASSWORD."""

    def __init__(self, name: str, args: PostgresArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Postgres", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        port = endpoints.POSTGRES_PORT
        pod = Pod(
            name=endpoints.POSTGRES,
            component="database",
            user=_UID,
            container=Container(
                image=versions.POSTGRES,
                size=args.settings,
                ports={"postgres": port},
                command=[f"{_BIN}/postgres", "-D", _CLUSTER, "-c", "listen_addresses=*", "-k", "/tmp"],
            ),
            init=[_prepare_container(args)],
            storage=Storage(data=_DATA),
            probes=Probes(
                readiness=exec_probe([f"{_BIN}/pg_isready", *READY]),
                liveness=tcp_probe(port, failures=6),
            ),
            # On SIGTERM, Postgres waits for the services to close their connections. They keep them open, so the
            # kubelet would kill Postgres.
            shutdown=Shutdown(command=[f"{_BIN}/pg_ctl", "stop", "-D", _CLUSTER, "-m", "fast", "-t", "25"]),
        )
        services(pod, args.namespace, child)
        stateful_set(pod, args.namespace, Volume(size=args.settings.volume, storage_class=args.storage_class), child)
        self.url = pulumi.Output.from_input(f"postgresql+psycopg://{ROLE}@{endpoints.POSTGRES}:{port}/{DATABASE}")
        self.register_outputs({"url": self.url})


def _prepare_container(args: PostgresArgs) -> k8s.core.v1.ContainerArgs:
    return k8s.core.v1.ContainerArgs(
        name="prepare",
        image=versions.POSTGRES,
        command=["/bin/sh", "-c", _PREPARE],
        env=[secret_variable("PASSWORD", secret_keys.POSTGRES_PASSWORD, args.secret)],
        resources=resources(args.settings),
        security_context=container_security(),
        volume_mounts=[
            k8s.core.v1.VolumeMountArgs(name="data", mount_path=_DATA),
            k8s.core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp"),
        ],
    )
