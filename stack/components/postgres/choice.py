"""Chooses the database that the settings name."""

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, secret_keys
from stack.components.postgres.access import CA_FILE, CA_FOLDER, DatabaseAccess, Owner, verified_url
from stack.components.postgres.cloudnativepg import cloudnativepg_database
from stack.components.postgres.component import Postgres, PostgresArgs
from stack.components.postgres.database import DATABASE, ROLE, SERVICE_ROLE
from stack.components.postgres.external import AUTHORITY, external_database
from stack.components.shared.environment import secret_variable
from stack.components.shared.object_meta import config_map
from stack.components.shared.storage import Storage


def database(args: PostgresArgs, opts: pulumi.ResourceOptions | None = None) -> DatabaseAccess:
    """Return the way to the database of the tasks; create it, unless it is an external one."""
    if external := args.settings.external:
        return external_database(external, args.namespace, args.secret, opts)
    if args.settings.cloudnativepg:
        return cloudnativepg_database(args, opts)
    server = Postgres("postgres", args, opts)
    password = secret_variable("PGPASSWORD", secret_keys.POSTGRES_PASSWORD, args.secret)
    if args.issuer is None:
        return DatabaseAccess(url=server.url, password=password)
    return _verified(server, password, args)


def _verified(server: Postgres, password: k8s.core.v1.EnvVarArgs, args: PostgresArgs) -> DatabaseAccess:
    """Return the way to the stack's own server with TLS, where the task-manager has a role of its own."""
    assert args.authority
    authority = config_map(
        AUTHORITY, "database", args.namespace, {CA_FILE: args.authority}, pulumi.ResourceOptions(parent=server)
    )
    hosts = [f"{endpoints.POSTGRES}:{endpoints.POSTGRES_PORT}"]
    return DatabaseAccess(
        url=verified_url(hosts, DATABASE, SERVICE_ROLE, own_ca=True),
        password=secret_variable("PGPASSWORD", secret_keys.POSTGRES_SERVICE_PASSWORD, args.secret),
        storage=Storage(config_maps={CA_FOLDER: authority.metadata.name}, configuration=args.authority),
        owner=Owner(url=verified_url(hosts, DATABASE, ROLE, own_ca=True), password=password),
    )
