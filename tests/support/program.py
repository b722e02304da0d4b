"""What the program declares, rendered once a process for each configuration."""

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

from contracts import secret_keys
from contracts.metadata import Manifest
from stack.deploy import policy
from stack.deploy.render import Rendered, record, render
from stack.settings import PROJECT, effective_config

TRACES: dict[str, dict[str, Any]] = {
    "tempo": {"backend": "tempo"},
    "jaeger": {"backend": "jaeger"},
    "distributed tempo": {
        "objectStorage": {"s3": {"bucket": "traces", "endpoint": "s3.example.com"}},
        "distributed": {"replicas": 3},
    },
}
STACKS = list(TRACES)
OIDC = {
    "clientId": "grafana",
    "authUrl": "https://login.example.com/authorize",
    "tokenUrl": "https://login.example.com/token",
    "apiUrl": "https://login.example.com/userinfo",
}
BUCKET_SECRETS = (secret_keys.OBJECT_STORAGE_ACCESS_KEY, secret_keys.OBJECT_STORAGE_SECRET_KEY)
RECEIVERS = (secret_keys.ALERT_SLACK_URL["page"], secret_keys.ALERT_HEARTBEAT_URL)


def recorded(stack: str, config: Mapping[str, Any]) -> Rendered:
    """Return what the program declares with a configuration; a test that changes it changes a copy."""
    return _recorded(stack, json.dumps(config))


@cache
def _recorded(stack: str, config: str) -> Rendered:
    return record(stack, json.loads(config))


def without_claims(manifests: Iterable[Manifest]) -> list[Manifest]:
    """Return the StatefulSets with empty directories: the local cluster has few volumes, not freed at once."""
    return [_with_directories(item) if item["kind"] == "StatefulSet" else item for item in manifests]


def _with_directories(manifest: Manifest) -> Manifest:
    spec = deepcopy(manifest)["spec"]
    claims = spec.pop("volumeClaimTemplates", [])
    volumes = spec["template"]["spec"].setdefault("volumes", [])
    volumes.extend({"name": claim["metadata"]["name"], "emptyDir": {}} for claim in claims)
    return {**manifest, "spec": spec}


@cache
def rendered(stack: str) -> list[Manifest]:
    """Return the manifests of a stack file; a test that changes them changes a copy."""
    return render(stack)


def rendered_with_secrets(stack: str) -> list[Manifest]:
    """Return the manifests of a stack file with a value for every secret; a test that changes them changes a copy."""
    return recorded(
        stack, effective_config(stack) | {f"{PROJECT}:{key}": f"value-of-{key}" for key in secret_keys.ALL}
    ).manifests


def dev_with(**sections: Any) -> dict[tuple[str, str], Manifest]:
    """Return the objects of stack dev with these sections, by kind and name; the policy accepts them."""
    secrets = {f"{PROJECT}:{key}": f"value-of-{key}" for key in secret_keys.ALL}
    config = {f"{PROJECT}:{key}": value for key, value in sections.items()}
    objects = recorded("dev", effective_config("dev") | secrets | config).manifests
    policy.require_compliance(objects)
    return {(item["kind"], item["metadata"]["name"]): item for item in objects}


def program(backend: str, *, logs: bool = True, alerting: bool = True) -> Rendered:
    """Return what the program declares with all components; without the log store or Alertmanager on request."""
    return run(backend, {"context": "c", "namespace": "tracing"}, logs=logs, alerting=alerting)


def run(backend: str, cluster: dict[str, Any], *, logs: bool = True, alerting: bool = True) -> Rendered:
    """Return what the program declares for a cluster."""
    keys = (
        *secret_keys.GENERATED,
        secret_keys.GRAFANA_OIDC_CLIENT_SECRET,
        *(RECEIVERS if alerting else ()),
        *(BUCKET_SECRETS if "objectStorage" in TRACES[backend] else ()),
    )
    config = {
        "environment": "test",
        "cluster": cluster,
        "images": {"service": "registry.example.com/service:1"},
        "traces": TRACES[backend],
        "logs": {"enabled": logs},
        "services": {name: {"replicas": 2} for name in ("gateway", "taskManager", "crawler")},
        "grafana": {"url": "https://grafana.example.com", "oidc": OIDC},
        "ingress": {"tls": {"secret": "tls"}, "taskApi": {"host": "tasks.example.com", "reason": "for the tests"}},
        "collector": {"sampling": {"ratio": 0.1}, "autoscaling": {"maxReplicas": 3}},
        "alerting": {"page": {"slack": True}, "heartbeatMinutes": 5} if alerting else {"enabled": False},
        **{key: f"value-of-{key}" for key in keys},
    }
    return recorded("test", {f"{PROJECT}:{key}": value for key, value in config.items()})


def workloads(backend: str) -> list[dict[str, Any]]:
    """Return the Deployments and StatefulSets."""
    return [item for item in program(backend).manifests if item["kind"] in ("Deployment", "StatefulSet")]


def containers(backend: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the containers and init containers of all workloads, with their names."""
    return [
        (f"{item['metadata']['name']}/{container['name']}", container)
        for item in workloads(backend)
        for container in [
            *item["spec"]["template"]["spec"]["containers"],
            *item["spec"]["template"]["spec"].get("initContainers", []),
        ]
    ]


def pipeline_config(**sections: Any) -> dict[str, Any]:
    """Return the configuration of a stack without services, and with these sections; it has no secrets."""
    cluster = {"context": "c", "namespace": "tracing"}
    config = {"environment": "test", "cluster": cluster, "services": {"enabled": False}, **sections}
    return {f"{PROJECT}:{key}": value for key, value in config.items()}
