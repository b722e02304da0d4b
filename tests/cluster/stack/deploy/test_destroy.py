"""Removal on a real cluster: a small stack in a namespace of its own."""

import time
from collections.abc import Iterator
from typing import Any

import kubernetes
import pytest

from contracts.metadata import Manifest, labels
from stack.deploy.removal import plan_removal, remove
from stack.kubernetes.apply import apply
from stack.kubernetes.client import connect
from stack.kubernetes.inventory import INVENTORY_KEY, read_inventory
from stack.kubernetes.objects import Objects
from stack.settings import load

NAMESPACE = "tracing-removal-test"


def made(api: str, kind: str, name: str, **fields: Any) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels(name, "test")}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}


SELECTOR = {"app": "nothing"}
MANIFESTS: list[Manifest] = [
    {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": labels(NAMESPACE, "namespace")},
    },
    made("v1", "ServiceAccount", "nothing"),
    made("v1", "ConfigMap", "files", data={"a": "b"}),
    made("v1", "Service", "nothing", spec={"selector": SELECTOR, "ports": [{"port": 80}]}),
    made(
        "apps/v1",
        "Deployment",
        "nothing",
        spec={
            "replicas": 0,
            "selector": {"matchLabels": SELECTOR},
            "template": {
                "metadata": {"labels": SELECTOR},
                "spec": {"containers": [{"name": "nothing", "image": "localhost/nothing:1"}]},
            },
        },
    ),
]
CLAIM = made(
    "v1",
    "PersistentVolumeClaim",
    "data-nothing-0",
    spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
)


@pytest.fixture
def core() -> Iterator[kubernetes.client.CoreV1Api]:
    """A cluster with the small stack on it."""
    client = connect(load("local").cluster)
    core = kubernetes.client.CoreV1Api(client)
    apply(client, NAMESPACE, MANIFESTS, lambda _: None)
    core.create_namespaced_persistent_volume_claim(NAMESPACE, CLAIM)
    yield core
    if _exists(core):
        core.delete_namespace(NAMESPACE)


def _exists(core: kubernetes.client.CoreV1Api) -> bool:
    return NAMESPACE in {item.metadata.name for item in core.list_namespace().items}


def removed(core: kubernetes.client.CoreV1Api) -> list[str]:
    objects = Objects(core.api_client, NAMESPACE)
    owned = read_inventory(core.api_client, NAMESPACE) | {INVENTORY_KEY}
    progress: list[str] = []
    plan = plan_removal("test", NAMESPACE, objects, owned, protect=False)
    remove(plan, objects, progress.append, deadline=time.monotonic() + 60)
    return progress


def test_a_stack_is_removed_with_its_namespace_unless_others_use_that(
    core: kubernetes.client.CoreV1Api,
) -> None:
    core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "foreign"}})
    progress = removed(core)
    assert progress[-1] == f"kept namespace {NAMESPACE}, for configmap/foreign"
    assert {"removed deployment/nothing", "removed persistentvolumeclaim/data-nothing-0"} < set(progress)
    remaining = {item.metadata.name for item in core.list_namespaced_config_map(NAMESPACE).items}
    assert remaining == {"foreign", "kube-root-ca.crt"}
    core.delete_namespaced_config_map("foreign", NAMESPACE)
    assert removed(core) == [f"removed namespace/{NAMESPACE}"]
    assert not _exists(core)
