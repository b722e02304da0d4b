"""Chooses the database that the settings name."""

import pulumi

from contracts import secret_keys
from stack.components.postgres.access import DatabaseAccess
from stack.components.postgres.cloudnativepg import cloudnativepg_database
from stack.components.postgres.component import Postgres, PostgresArgs
from stack.components.postgres.external import external_database
from stack.components.shared.environment import secret_variable


def database(args: PostgresArgs, opts: pulumi.ResourceOptions | None = None) -> DatabaseAccess:
    """Return the way to the database of the tasks; create it, unless it is an external one."""
    if external := args.settings.external:
        return external_database(external, args.namespace, args.secret, opts)
    if args.settings.cloudnativepg:
        return cloudnativepg_database(args, opts)
    return DatabaseAccess(
        url=Postgres("postgres", args, opts).url,
        password=secret_variable("PGPASSWORD", secret_keys.POSTGRES_PASSWORD, args.secret),
    )
