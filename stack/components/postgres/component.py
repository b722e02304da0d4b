"""PostgreSQL: the tasks' database, one instance on its own volume."""

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, secret_keys, versions
from stack.components.secrets import component as secrets
from stack.components.shared import workload
from stack.components.shared.settings import Stateful

DATABASE: Final = "tasks"
ROLE: Final = "tasks"

_BIN: Final = "/usr/lib/postgresql/15/bin"
_DATA: Final = "/var/lib/postgresql/data"
_CLUSTER: Final = f"{_DATA}/pgdata"  # a folder of the volume: initdb refuses a mount point with lost+found in it
_UID: Final = 999

# Runs before every start. The role's password follows the Secret, so a rotation is a restart. Single-user mode needs no
# server, listens nowhere and takes one statement a line; it reports errors but exits 0, so they are searched for.
_PREPARE: Final = f"""
set -eu
case "$PASSWORD" in
  *[!A-Za-z0-9_-]*|"") echo "postgresPassword: must be one or more letters, digits, - and _" >&2; exit 1;;
esac
if [ ! -s {_CLUSTER}/PG_VERSION ]; then
  rm -rf {_CLUSTER}
  {_BIN}/initdb -D {_CLUSTER} -U postgres --auth-local=reject --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
  echo "host {DATABASE} {ROLE} all scram-sha-256" > {_CLUSTER}/pg_hba.conf
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
    settings: Stateful
    storage_class: str | None


class Postgres(pulumi.ComponentResource):
    """PostgreSQL with one database and one role that owns it; nobody can log in as the superuser."""

    url: pulumi.Output[str]
    """SQLAlchemy URL without the password, which clients take from the Secret as PGPASSWORD."""

    def __init__(self, name: str, args: PostgresArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Postgres", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        ready = workload.exec_probe(
            [f"{_BIN}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(endpoints.POSTGRES_PORT), "-d", DATABASE]
        )
        prepare = k8s.core.v1.ContainerArgs(
            name="prepare",
            image=versions.POSTGRES,
            command=["/bin/sh", "-c", _PREPARE],
            env=[secrets.reference("PASSWORD", secret_keys.POSTGRES_PASSWORD, args.secret)],
            resources=workload.resources(args.settings),
            security_context=workload.container_security(),
            volume_mounts=[
                k8s.core.v1.VolumeMountArgs(name="data", mount_path=_DATA),
                k8s.core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp"),
            ],
        )
        pod = workload.Pod(
            name=endpoints.POSTGRES,
            component="database",
            image=versions.POSTGRES,
            user=_UID,
            size=args.settings,
            ports={"postgres": endpoints.POSTGRES_PORT},
            command=[f"{_BIN}/postgres", "-D", _CLUSTER, "-c", "listen_addresses=*", "-k", "/tmp"],
            data=_DATA,
            init=[prepare],
            # SIGTERM would wait for the services to close their connections, which they never do, then SIGKILL come.
            stop=[f"{_BIN}/pg_ctl", "stop", "-D", _CLUSTER, "-m", "fast", "-t", "25"],
            readiness=ready,
            liveness=workload.tcp_probe(endpoints.POSTGRES_PORT, failures=6),
        )
        workload.services(pod, args.namespace, child)
        workload.stateful_set(pod, args.namespace, args.settings.volume, args.storage_class, child)
        self.url = pulumi.Output.from_input(
            f"postgresql+psycopg://{ROLE}@{endpoints.POSTGRES}:{endpoints.POSTGRES_PORT}/{DATABASE}"
        )
        self.register_outputs({"url": self.url})
