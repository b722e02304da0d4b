"""PostgreSQL by CloudNativePG: a primary and standbys that take over, as an object of its operator."""

from typing import Any, Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, secret_keys
from stack.components.postgres.access import CA_FILE, CA_FOLDER, DatabaseAccess, verified_url
from stack.components.postgres.component import PostgresArgs
from stack.components.postgres.database import DATABASE, ROLE
from stack.components.postgres.settings import Backup
from stack.components.shared.object_meta import object_meta
from stack.components.shared.storage import SecretFiles, Storage

core = k8s.core.v1

_NAME: Final = endpoints.POSTGRES
_COMPONENT: Final = "database"
_PLUGIN: Final = "barman-cloud.cloudnative-pg.io"


class CloudNativePg(pulumi.ComponentResource):
    """A `Cluster`, and with backups its `ObjectStore` and `ScheduledBackup`.

    The operator makes the Services (`postgres-rw` leads to the primary), and the Secrets with the role's password
    (`postgres-app`) and with the certificate of its own authority (`postgres-ca`), which it renews.
    """

    name: pulumi.Output[str]
    """Of the `Cluster`."""

    def __init__(self, name: str, args: PostgresArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:CloudNativePg", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings.cloudnativepg
        assert settings
        self._create("postgresql.cnpg.io/v1", "Cluster", _cluster(args), args, child)
        if backup := settings.backup:
            self._create("barmancloud.cnpg.io/v1", "ObjectStore", _object_store(backup, args.secret), args, child)
            self._create("postgresql.cnpg.io/v1", "ScheduledBackup", _scheduled_backup(backup), args, child)
        self.name = pulumi.Output.from_input(_NAME)
        self.register_outputs({"name": self.name})

    @staticmethod
    def _create(
        api_version: str, kind: str, spec: dict[str, Any], args: PostgresArgs, opts: pulumi.ResourceOptions
    ) -> None:
        k8s.apiextensions.CustomResource(
            f"{_NAME}-{kind.lower()}",
            api_version=api_version,
            kind=kind,
            metadata=object_meta(_NAME, args.namespace, component=_COMPONENT),
            spec=spec,
            opts=opts,
        )


def cloudnativepg_database(args: PostgresArgs, opts: pulumi.ResourceOptions | None = None) -> DatabaseAccess:
    """Create the objects, and return the way to the primary."""
    CloudNativePg("postgres", args, opts)
    reference = core.SecretKeySelectorArgs(name=f"{_NAME}-app", key="password")
    return DatabaseAccess(
        url=verified_url([f"{_NAME}-rw:{endpoints.POSTGRES_PORT}"], DATABASE, ROLE, own_ca=True),
        password=core.EnvVarArgs(name="PGPASSWORD", value_from=core.EnvVarSourceArgs(secret_key_ref=reference)),
        storage=Storage(secrets={CA_FOLDER: SecretFiles(secret=f"{_NAME}-ca", keys={"ca.crt": CA_FILE})}),
    )


def _cluster(args: PostgresArgs) -> dict[str, Any]:
    settings, cluster = args.settings, args.settings.cloudnativepg
    assert cluster
    storage = {"size": settings.volume}
    if args.storage_class:
        storage["storageClass"] = args.storage_class
    spec: dict[str, Any] = {
        "instances": cluster.instances,
        "storage": storage,
        "resources": {
            "requests": {"cpu": settings.cpu, "memory": settings.memory},
            "limits": {"memory": settings.memory},
        },
        "bootstrap": {"initdb": {"database": DATABASE, "owner": ROLE}},
        # A commit waits until a standby has it on disk; without a standby, it waits for one.
        "postgresql": {"synchronous": {"method": "any", "number": 1, "dataDurability": "required"}},
    }
    if cluster.image:
        spec["imageName"] = cluster.image
    if cluster.backup:
        spec["plugins"] = [{"name": _PLUGIN, "isWALArchiver": True, "parameters": {"barmanObjectName": _NAME}}]
    return spec


def _object_store(backup: Backup, secret: pulumi.Input[str]) -> dict[str, Any]:
    configuration: dict[str, Any] = {
        "destinationPath": backup.destination,
        "s3Credentials": {
            "accessKeyId": {"name": secret, "key": secret_keys.OBJECT_STORAGE_ACCESS_KEY},
            "secretAccessKey": {"name": secret, "key": secret_keys.OBJECT_STORAGE_SECRET_KEY},
        },
        "wal": {"compression": "gzip"},
    }
    if backup.endpoint:
        configuration["endpointURL"] = backup.endpoint
    return {"configuration": configuration, "retentionPolicy": f"{backup.days}d"}


def _scheduled_backup(backup: Backup) -> dict[str, Any]:
    return {
        "schedule": backup.schedule,
        "immediate": True,
        "cluster": {"name": _NAME},
        "method": "plugin",
        "pluginConfiguration": {"name": _PLUGIN},
        "backupOwnerReference": "self",
    }
