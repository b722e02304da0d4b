"""A small stack on a real API server: what the program declares, deployed server-side into a namespace of its own."""

import json
from typing import Any

import kubernetes

from contracts import secret_keys
from contracts.metadata import PROJECT, Manifest
from stack.kubernetes.apply import apply
from tests.support.api_server import ApiServer
from tests.support.program import recorded

ANY = "any-namespace"
IMAGE = "registry.example.com/service:1"


def rendered(sections: str, storage_class: str) -> str:
    """The manifests of a small stack in the namespace `ANY`, as JSON."""
    config = {
        "environment": "test",
        "cluster": {"context": "c", "namespace": ANY, "imageDigests": False, "storageClass": storage_class},
        "images": {"service": IMAGE},
        "grafana": {"enabled": False},
        "logs": {"enabled": False},
        "alerting": {"enabled": False},
        **json.loads(sections),
        **{key: f"value-of-{key}" for key in secret_keys.GENERATED},
    }
    return json.dumps(recorded("test", {f"{PROJECT}:{key}": value for key, value in config.items()}).manifests)


class SmallStack:
    """A small stack in a namespace of its own."""

    def __init__(self, server: ApiServer, namespace: str, storage_class: str = "grows") -> None:
        self.client, self.namespace, self.storage_class = server.client, namespace, storage_class
        self.apps = kubernetes.client.AppsV1Api(server.client)
        self.core = kubernetes.client.CoreV1Api(server.client)
        self.progress: list[str] = []
        """The lines of progress of all deployments."""

    def manifests(self, *only: str, **sections: Any) -> list[Manifest]:
        """The declared objects; if workloads are named, only objects of these names and the namespace."""
        declared = rendered(json.dumps(sections), self.storage_class).replace(f'"{ANY}"', f'"{self.namespace}"')
        names = {*only, self.namespace} if only else set()
        return [item for item in json.loads(declared) if not names or item["metadata"]["name"] in names]

    def deploy(self, manifests: list[Manifest]) -> None:
        apply(self.client, self.namespace, manifests, self.progress.append)

    def versions(self) -> dict[str, str]:
        """The version of each object that a deployment could change."""
        lists: list[Any] = [
            self.apps.list_namespaced_stateful_set(self.namespace).items,
            self.apps.list_namespaced_deployment(self.namespace).items,
            self.core.list_namespaced_config_map(self.namespace).items,
            self.core.list_namespaced_service(self.namespace).items,
        ]
        versions = {
            item.metadata.uid: str(item.metadata.generation or item.metadata.resource_version)
            for each in lists
            for item in each
        }
        return versions | self.claims()

    def pods(self, name: str = "collector") -> dict[str, str]:
        """Names of a workload's pods, each with its uid, which a new pod of the same name does not share."""
        pods = self.core.list_namespaced_pod(self.namespace, label_selector=f"app.kubernetes.io/name={name}").items
        return {item.metadata.name: item.metadata.uid for item in pods}

    def replicas(self, name: str = "collector") -> int:
        return int(self.stateful_set(name).spec.replicas)

    def claims(self) -> dict[str, str]:
        """The sizes that the bound claims request."""
        claims = self.core.list_namespaced_persistent_volume_claim(self.namespace).items
        return {
            item.metadata.name: item.spec.resources.requests["storage"]
            for item in claims
            if item.status.phase == "Bound"
        }

    def stateful_set(self, name: str = "collector") -> Any:
        return self.apps.read_namespaced_stateful_set(name, self.namespace)

    def template_size(self) -> str:
        """The size in the Collector's claim template."""
        (template,) = self.stateful_set().spec.volume_claim_templates
        return str(template.spec.resources.requests["storage"])

    def limit_count(self, resource: str) -> None:
        """Creates a quota of one object of a kind."""
        quota = {"metadata": {"name": "few"}, "spec": {"hard": {f"count/{resource}": "1"}}}
        self.core.create_namespaced_resource_quota(self.namespace, quota)

    def has_counted_quota(self) -> bool:
        return bool(self.core.read_namespaced_resource_quota("few", self.namespace).status.used)


def find(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """The first manifest of a kind, with this text in its name."""
    return next(item for item in manifests if item["kind"] == kind and name in item["metadata"]["name"])
