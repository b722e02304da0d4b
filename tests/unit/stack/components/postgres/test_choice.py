"""The database of the tasks: the stack's own, an external one, or CloudNativePG's."""

from typing import Any

import pytest

from contracts import secret_keys
from contracts.metadata import Manifest
from stack.settings import parse
from stack.settings.missing_secrets import needed_secrets
from tests.support.authority import CA
from tests.support.configuration import config, refusal
from tests.support.program import dev_with

EXTERNAL = {"hosts": ["db-1.example.com:5432", "db-2.example.com:5432"], "username": "web", "ca": CA}
BACKUP = {"destination": "s3://backups/tracing", "endpoint": "https://s3.example.com", "days": 14}


def objects(**postgres: Any) -> dict[tuple[str, str], Manifest]:
    """The objects of stack dev with that database, by kind and name; the policy accepts them."""
    return dev_with(postgres=postgres)


def task_manager(manifests: dict[tuple[str, str], Manifest]) -> dict[str, Any]:
    return dict(manifests["Deployment", "task-manager"]["spec"]["template"]["spec"])


def variable(pod: dict[str, Any], name: str) -> dict[str, Any]:
    (container,) = pod["containers"]
    return next(item for item in container["env"] if item["name"] == name)


def mounted(pod: dict[str, Any]) -> dict[str, str]:
    """Mount path → name of the volume."""
    (container,) = pod["containers"]
    return {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}


def test_an_external_database_is_verified_and_the_server_that_accepts_writes_is_used() -> None:
    manifests = objects(external=EXTERNAL)
    assert [kind for kind, name in manifests if name.startswith("postgres")] == ["ConfigMap"]
    pod = task_manager(manifests)
    assert variable(pod, "DATABASE_URL")["value"] == (
        "postgresql+psycopg://web@/tasks?host=db-1.example.com:5432&host=db-2.example.com:5432"
        "&target_session_attrs=read-write&sslmode=verify-full&sslrootcert=/etc/postgres-ca/ca.crt"
    )
    reference = variable(pod, "PGPASSWORD")["valueFrom"]["secretKeyRef"]
    assert (reference["name"], reference["key"]) == (secret_keys.SECRET, secret_keys.POSTGRES_EXTERNAL_PASSWORD)
    assert manifests["ConfigMap", "postgres-ca"]["data"] == {"ca.crt": CA}
    assert mounted(pod)["/etc/postgres-ca"] == "etc-postgres-ca"


def test_without_an_authority_the_public_ones_count() -> None:
    manifests = objects(external={"hosts": ["db.example.com:5432"]})
    assert not [name for _, name in manifests if name.startswith("postgres")]
    url = variable(task_manager(manifests), "DATABASE_URL")["value"]
    assert url.endswith("sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt")


def test_cloudnativepg_commits_to_a_standby_and_its_authority_is_the_operators() -> None:
    manifests = objects(cloudnativepg={}, volume="20Gi", memory="1Gi")
    assert ("StatefulSet", "postgres") not in manifests
    spec = manifests["Cluster", "postgres"]["spec"]
    assert spec["instances"] == 3
    assert spec["storage"]["size"] == "20Gi"
    assert spec["resources"]["limits"] == {"memory": "1Gi"}
    assert spec["bootstrap"]["initdb"] == {"database": "tasks", "owner": "tasks"}
    assert spec["postgresql"]["synchronous"] == {"method": "any", "number": 1, "dataDurability": "required"}
    pod = task_manager(manifests)
    assert "host=postgres-rw:5432&target_session_attrs=read-write" in variable(pod, "DATABASE_URL")["value"]
    assert variable(pod, "PGPASSWORD")["valueFrom"]["secretKeyRef"] == {"name": "postgres-app", "key": "password"}
    (volume,) = [item for item in pod["volumes"] if item["name"] == mounted(pod)["/etc/postgres-ca"]]
    assert volume["secret"]["secretName"] == "postgres-ca"
    assert volume["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
    # Its files belong to root: without the group the service cannot read them.
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"]


def test_cloudnativepg_archives_the_log_and_makes_base_backups() -> None:
    manifests = objects(cloudnativepg={"backup": BACKUP})
    (plugin,) = manifests["Cluster", "postgres"]["spec"]["plugins"]
    assert plugin["isWALArchiver"] is True
    assert plugin["parameters"] == {"barmanObjectName": "postgres"}
    store = manifests["ObjectStore", "postgres"]["spec"]
    assert store["retentionPolicy"] == "14d"
    assert store["configuration"]["destinationPath"] == "s3://backups/tracing"
    assert store["configuration"]["s3Credentials"]["accessKeyId"] == {
        "name": secret_keys.SECRET,
        "key": secret_keys.OBJECT_STORAGE_ACCESS_KEY,
    }
    assert manifests["ScheduledBackup", "postgres"]["spec"]["pluginConfiguration"] == {"name": plugin["name"]}


def test_missing_secrets_are_named() -> None:
    def needed(**postgres: Any) -> set[str]:
        return {*needed_secrets(parse(config(postgres=postgres), "Pulumi.test.yaml"))} - {*secret_keys.GENERATED}

    assert needed(external=EXTERNAL) == {secret_keys.POSTGRES_EXTERNAL_PASSWORD}
    keys = {secret_keys.OBJECT_STORAGE_ACCESS_KEY, secret_keys.OBJECT_STORAGE_SECRET_KEY}
    assert needed(cloudnativepg={"backup": BACKUP}) == keys
    assert needed(cloudnativepg={}) == set()


@pytest.mark.parametrize(
    ("postgres", "part"),
    [
        ({"external": {**EXTERNAL, "hosts": []}}, "postgres.external.hosts"),
        ({"external": {**EXTERNAL, "hosts": ["db.example.com"]}}, "postgres.external.hosts"),
        ({"external": {**EXTERNAL, "hosts": ["web:hunter2@db:5432"]}}, "postgres.external.hosts"),
        ({"external": EXTERNAL, "cloudnativepg": {}}, "exclude each other"),
        ({"cloudnativepg": {"instances": 2}}, "postgres.cloudnativepg.instances"),
        ({"cloudnativepg": {"backup": {"destination": "backups"}}}, "postgres.cloudnativepg.backup.destination"),
    ],
)
def test_what_cannot_work_is_refused(postgres: dict[str, Any], part: str) -> None:
    assert part in refusal(postgres=postgres)
