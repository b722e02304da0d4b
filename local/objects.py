"""The objects of a new cluster: permissions for DNS, volumes, and their default StorageClass."""

import shutil
import time
from collections.abc import Iterable
from itertools import product
from pathlib import Path

from local.api import Api, Object
from local.failure import Failure
from local.layout import STORAGE_CLASS, VOLUMES
from local.nodes import Node
from local.paths import Home

LABELS = {"app.kubernetes.io/part-of": "web-crawl-tracing", "app.kubernetes.io/managed-by": "local"}

DELETE_LIMIT = 30.0


def apply_objects(api: Api, home: Home, nodes: Iterable[Node]) -> None:
    """Creates missing objects, and empties each volume whose claim was deleted, so that it can be claimed again."""
    permissions = _permissions()
    if api.call("GET", permissions[-1][0])[0] == 404:  # of a new cluster, or one of an earlier version
        for path, body in permissions:
            api.apply(path, body)
    _, volumes_found = api.call("GET", "/api/v1/persistentvolumes")
    phases = {item["metadata"]["name"]: item["status"].get("phase") for item in volumes_found.get("items", [])}
    for node, number in product(nodes, range(1, VOLUMES + 1)):
        name, directory = f"{node.name}-{number}", home.node(node.name) / "volumes" / str(number)
        path = f"/api/v1/persistentvolumes/{name}"
        if phases.get(name) in ("Released", "Failed"):
            _delete(api, path)
            shutil.rmtree(directory, ignore_errors=True)
            phases.pop(name)
        if name not in phases:
            directory.mkdir(parents=True, exist_ok=True)
            api.apply(path, _volume(name, directory, node))
    if api.call("GET", f"/apis/storage.k8s.io/v1/storageclasses/{STORAGE_CLASS}")[0] == 404:
        api.apply(f"/apis/storage.k8s.io/v1/storageclasses/{STORAGE_CLASS}", _storage_class())


def _delete(api: Api, path: str) -> None:
    """Deletes an object and waits until it is gone. An object applied before that would be deleted with it."""
    api.call("DELETE", path)
    deadline = time.monotonic() + DELETE_LIMIT
    while api.call("GET", path)[0] != 404:
        if time.monotonic() > deadline:
            raise Failure(f"timed out after {DELETE_LIMIT:.0f} s waiting for {path} to be deleted")
        time.sleep(0.05)


def _volume(name: str, directory: Path, node: Node) -> Object:
    """A `local` volume of a node: unlike hostPath it honours fsGroup. Its size is not enforced."""
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node.name]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": LABELS},
        "spec": {
            "capacity": {"storage": "50Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": STORAGE_CLASS,
            "persistentVolumeReclaimPolicy": "Retain",  # nothing deletes local volumes; the next `up` recycles them
            "local": {"path": str(directory)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }


def _storage_class() -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "labels": LABELS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _permissions() -> list[tuple[str, Object]]:
    """The rights of programs that Kubernetes has no default role for: DNS, and what enforces NetworkPolicies."""
    read = ["list", "watch"]
    slices = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read}
    policies = {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": read}
    return [
        *_role(
            "system:coredns",
            "system:coredns",
            [{"apiGroups": [""], "resources": ["services", "namespaces", "pods"], "verbs": read}, slices],
        ),
        # It is a part of the node's network like kube-proxy, and has kube-proxy's identity.
        *_role(
            "network-policies",
            "system:kube-proxy",
            [{"apiGroups": [""], "resources": ["pods", "namespaces", "nodes"], "verbs": read}, policies],
        ),
    ]


def _role(name: str, user: str, rules: list[Object]) -> list[tuple[str, Object]]:
    """A ClusterRole, and its binding to a user, each with its path."""
    group = "rbac.authorization.k8s.io"
    path, shared = f"/apis/{group}/v1", {"apiVersion": f"{group}/v1", "metadata": {"name": name, "labels": LABELS}}
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": name}
    subjects = [{"apiGroup": group, "kind": "User", "name": user}]
    return [
        (f"{path}/clusterroles/{name}", {**shared, "kind": "ClusterRole", "rules": rules}),
        (
            f"{path}/clusterrolebindings/{name}",
            {**shared, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": subjects},
        ),
    ]
