"""PostgreSQL: the database of the tasks, one instance on its own volume."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, secret_keys, versions
from stack.components.encryption.server import (
    CERTIFICATE_FILE,
    KEY_FILE,
    Issuer,
    ServerCertificate,
    ServerCertificateArgs,
    Subject,
)
from stack.components.postgres.database import DATABASE, ROLE, SERVICE_ROLE
from stack.components.postgres.settings import Postgres as PostgresSettings
from stack.components.shared.availability import Shutdown
from stack.components.shared.environment import secret_variable, variables
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Container, Pod, container_security, resources
from stack.components.shared.probes import Probes, exec_probe, tcp_probe
from stack.components.shared.service import services
from stack.components.shared.storage import SecretFiles, Storage
from stack.components.shared.workload import Volume, stateful_set

_BIN: Final = "/usr/lib/postgresql/15/bin"
DATA: Final = "/var/lib/postgresql/data"
_CLUSTER: Final = f"{DATA}/pgdata"  # a folder of the volume: initdb refuses a mount point with lost+found in it
_UID: Final = 999
# pg_isready logs in without a password, and any answer of the server counts. A user or a database that pg_hba.conf does
# not have is an error in the server's log; with the role of the tasks, the server asks for a password and logs nothing.
READY: Final = ("-q", "-h", "127.0.0.1", "-p", str(endpoints.POSTGRES_PORT), "-U", ROLE, "-d", DATABASE)
"""Arguments of `pg_isready` in the pod."""
SERVE: Final = Path(__file__).with_name("serve.sh")
"""Program that runs the server, and lets it read a new certificate."""
_PROGRAMS: Final = "/etc/postgres-programs"
_CERTIFICATE: Final = "/etc/postgres-certificate"

# Runs before every start. It sets the role's password to the one in the Secret, so a rotation needs only a restart.
# Single-user mode needs no server, does not listen, and reads one statement a line. It reports errors but exits with 0,
# so the script searches its output for them.
PREPARE: Final = f"""
set -eu
require_plain() {{
  case "$2" in *[!A-Za-z0-9_-]*|"") echo "$1: must be one or more letters, digits, - and _" >&2; exit 1;; esac
}}
require_plain postgresPassword "$PASSWORD"
[ -z "$SERVICE_ROLE" ] || require_plain postgresServicePassword "$SERVICE_PASSWORD"
if [ ! -s {_CLUSTER}/PG_VERSION ]; then
  rm -rf {_CLUSTER}
  {_BIN}/initdb -D {_CLUSTER} -U postgres --auth-local=reject --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
fi
printf '%s\\n' "$ACCESS" > {_CLUSTER}/pg_hba.conf
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
if [ -n "$SERVICE_ROLE" ]; then
  say "DO \\$\\$ BEGIN CREATE ROLE $SERVICE_ROLE; EXCEPTION WHEN duplicate_object THEN NULL; END \\$\\$;
"
  say "ALTER ROLE $SERVICE_ROLE LOGIN PASSWORD '$SERVICE_PASSWORD';
"
  # By default, everyone may connect and make temporary tables.
  say "REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC;
"
  say "GRANT CONNECT ON DATABASE {DATABASE} TO $SERVICE_ROLE;
"
fi
"""


@dataclass(frozen=True, kw_only=True)
class PostgresArgs:
    namespace: pulumi.Input[str]
    secret: pulumi.Input[str]
    """Name of the Secret with the role's password."""
    settings: PostgresSettings
    storage_class: str | None
    issuer: Issuer | None = None
    """Of the server's certificate; without one, it has no TLS and one role."""
    authority: pulumi.Output[str] | None = None
    """What clients verify the server with, as PEM; needed with `issuer`."""


def access_rules(*, encrypted: bool) -> str:
    """Return the content of `pg_hba.conf`."""
    if not encrypted:
        return f"host {DATABASE} {ROLE} all scram-sha-256"
    return "\n".join(f"hostssl {DATABASE} {role} all scram-sha-256" for role in (ROLE, SERVICE_ROLE))


def server_arguments(certificate: str | None) -> list[str]:
    """Return the arguments of the server.

    Args:
        certificate: folder of its certificate and key; None without TLS.
    """
    arguments = ["listen_addresses=*"]
    if certificate is not None:
        arguments += [
            "ssl=on",
            "ssl_min_protocol_version=TLSv1.3",
            f"ssl_cert_file={certificate}/{CERTIFICATE_FILE}",
            f"ssl_key_file={certificate}/{KEY_FILE}",
        ]
    return [part for argument in arguments for part in ("-c", argument)]


class Postgres(pulumi.ComponentResource):
    """PostgreSQL with one database and the role that owns it; the superuser cannot log in."""

    url: pulumi.Output[str]
    """SQLAlchemy URL of the owner without the password, which clients take from the Secret as PGPASSWORD."""

    def __init__(self, name: str, args: PostgresArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Postgres", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        port = endpoints.POSTGRES_PORT
        encrypted = args.issuer is not None
        certificate = self._certificate(args)
        pod = Pod(
            name=endpoints.POSTGRES,
            component="database",
            user=_UID,
            container=Container(
                image=versions.POSTGRES,
                size=args.settings,
                ports={"postgres": port},
                command=_command(encrypted=encrypted),
            ),
            init=[_prepare_container(args)],
            storage=self._storage(args, certificate.secret) if certificate else Storage(data=DATA),
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

    def _certificate(self, args: PostgresArgs) -> ServerCertificate | None:
        if args.issuer is None:
            return None
        name = endpoints.POSTGRES
        subject = Subject(namespace=args.namespace, server=name, component="database", hosts=[name])
        certificate_args = ServerCertificateArgs(subject=subject, issuer=args.issuer)
        return ServerCertificate("postgres-certificate", certificate_args, pulumi.ResourceOptions(parent=self))

    def _storage(self, args: PostgresArgs, certificate: pulumi.Input[str]) -> Storage:
        programs = {SERVE.name: SERVE.read_text()}
        child = pulumi.ResourceOptions(parent=self)
        config = config_map("postgres-programs", "database", args.namespace, programs, child)
        files = SecretFiles(secret=certificate, keys={name: name for name in (CERTIFICATE_FILE, KEY_FILE)})
        return Storage(
            config_maps={_PROGRAMS: config.metadata.name},
            configuration=programs,
            secrets={_CERTIFICATE: files},
            data=DATA,
        )


def _command(*, encrypted: bool) -> list[str]:
    certificate = _CERTIFICATE if encrypted else None
    server = [f"{_BIN}/postgres", "-D", _CLUSTER, *server_arguments(certificate), "-k", "/tmp"]
    return ["sh", f"{_PROGRAMS}/{SERVE.name}", f"{_CERTIFICATE}/{CERTIFICATE_FILE}", *server] if encrypted else server


def _prepare_container(args: PostgresArgs) -> k8s.core.v1.ContainerArgs:
    return k8s.core.v1.ContainerArgs(
        name="prepare",
        image=versions.POSTGRES,
        command=["/bin/sh", "-c", PREPARE],
        env=_prepare_variables(args),
        resources=resources(args.settings),
        security_context=container_security(),
        volume_mounts=[
            k8s.core.v1.VolumeMountArgs(name="data", mount_path=DATA),
            k8s.core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp"),
        ],
    )


def _prepare_variables(args: PostgresArgs) -> list[k8s.core.v1.EnvVarArgs]:
    encrypted = args.issuer is not None
    service = secret_variable("SERVICE_PASSWORD", secret_keys.POSTGRES_SERVICE_PASSWORD, args.secret)
    return [
        secret_variable("PASSWORD", secret_keys.POSTGRES_PASSWORD, args.secret),
        *([service] if encrypted else []),
        *variables(ACCESS=access_rules(encrypted=encrypted), SERVICE_ROLE=SERVICE_ROLE if encrypted else ""),
    ]
