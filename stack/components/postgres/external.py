"""A PostgreSQL that the stack did not build."""

from typing import Final

import pulumi

from contracts import endpoints, secret_keys
from stack.components.postgres.access import CA_FILE, CA_FOLDER, DatabaseAccess, verified_url
from stack.components.postgres.settings import ExternalPostgres as ExternalPostgresSettings
from stack.components.shared.environment import secret_variable
from stack.components.shared.object_meta import config_map
from stack.components.shared.storage import Storage

AUTHORITY: Final = f"{endpoints.POSTGRES}-ca"
"""Name of the ConfigMap with the certificate of the servers' authority."""


class ExternalPostgres(pulumi.ComponentResource):
    """What clients need of it inside of the cluster: the certificate of its authority."""

    authority: pulumi.Output[str]
    """Name of the ConfigMap."""

    def __init__(
        self, name: str, ca: str, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("web-crawl-tracing:index:ExternalPostgres", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.authority = config_map(AUTHORITY, "database", namespace, {CA_FILE: ca}, child).metadata.name
        self.register_outputs({"authority": self.authority})


def external_database(
    settings: ExternalPostgresSettings,
    namespace: pulumi.Input[str],
    secret: pulumi.Input[str],
    opts: pulumi.ResourceOptions | None = None,
) -> DatabaseAccess:
    """Return the way to the database.

    Args:
        settings: of the servers.
        namespace: of the stack.
        secret: name of the Secret with the password.
        opts: of the resources.
    """
    storage = Storage()
    if settings.ca:
        authority = ExternalPostgres("postgres", settings.ca, namespace, opts).authority
        storage = Storage(config_maps={CA_FOLDER: authority}, configuration=settings.ca)
    return DatabaseAccess(
        url=verified_url(settings.hosts, settings.database, settings.username, own_ca=settings.ca is not None),
        password=secret_variable("PGPASSWORD", secret_keys.POSTGRES_EXTERNAL_PASSWORD, secret),
        storage=storage,
    )
