"""The stack of the check: the topology of `Pulumi.prod.yaml` at small size, on the local cluster."""

from collections.abc import Mapping
from typing import Any, Final

from contracts import secret_keys
from contracts.metadata import PROJECT
from stack.components.postgres.settings import ExternalPostgres
from stack.components.shared.object_storage import S3

NAME: Final = "ha"
"""Name of the stack."""
NAMESPACE: Final = "tracing-ha"
ZONES: Final = 3


def sections(postgres: ExternalPostgres | None, bucket: S3, *, tempo: bool, logs: bool) -> dict[str, dict[str, Any]]:
    """Return the sections of the settings that differ from the stack `local`.

    Args:
        postgres: the database outside of the cluster; the stack's own if None.
        bucket: of the object storage outside of the cluster.
        tempo: whether this machine has Tempo; otherwise the traces are in one Jaeger.
        logs: whether this machine has Loki.
    """
    pod = {"cpu": "50m", "memory": "256Mi"}
    storage = {"s3": bucket.model_dump(by_alias=True, exclude_none=True)}
    return {
        "cluster": {"namespace": NAMESPACE, "imageDigests": False},
        "services": {name: {**pod, "replicas": 2} for name in ("gateway", "taskManager", "crawler")},
        "kafka": {"brokers": 3, "cpu": "100m", "memory": "768Mi", "partitions": 6},
        "postgres": {"external": postgres.model_dump(by_alias=True, exclude_none=True, mode="json")}
        if postgres
        else pod,
        # One on each node: a lost node is first noticed by its Collector.
        "collector": {**pod, "replicas": 3},
        "traces": {
            "backend": "tempo",
            "objectStorage": {**storage, "prefix": "tempo"},
            "distributed": {**pod, "replicas": 2, "memory": "512Mi"},
        }
        if tempo
        else {"backend": "jaeger"},
        "metrics": {"replicas": 2, "cpu": "100m"},
        "alerting": {"replicas": 2, "cpu": "20m"},
        "logs": {"enabled": logs, **pod, "replicas": 3, "objectStorage": {**storage, "prefix": "loki"}}
        if logs
        else {"enabled": False},
        "probe": {"enabled": False},
        "grafana": {"enabled": False},
    }


def with_sections(config: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a configuration of which some settings of some sections are replaced."""
    changed = dict(config)
    for section, values in changes.items():
        key = f"{PROJECT}:{section}"
        changed[key] = {**changed.get(key, {}), **values}
    return changed


def outside_secrets(postgres_password: str, storage_access: str, storage_key: str) -> dict[str, str]:
    """Return the secrets of the servers outside of the cluster by key."""
    return {
        secret_keys.POSTGRES_EXTERNAL_PASSWORD: postgres_password,
        secret_keys.OBJECT_STORAGE_ACCESS_KEY: storage_access,
        secret_keys.OBJECT_STORAGE_SECRET_KEY: storage_key,
    }
