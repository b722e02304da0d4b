"""A good stack, and changes of it that each break one rule of the policy."""

import copy
from collections.abc import Callable
from typing import Any

from contracts import secret_keys
from contracts.metadata import Manifest

GOOD: list[Manifest] = [
    {"kind": "Namespace", "metadata": {"name": "tracing"}},
    {
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "tracing"},
        "spec": {
            "replicas": 1,
            "template": {
                "spec": {
                    "automountServiceAccountToken": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 1000,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                    "containers": [
                        {
                            "name": "web",
                            "image": "registry.example.com:5000/web:1.2",
                            "resources": {
                                "requests": {"cpu": "100m", "memory": "64Mi"},
                                "limits": {"memory": "64Mi"},
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "capabilities": {"drop": ["ALL"]},
                            },
                            "env": [
                                {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                                {"name": "OTLP_TOKEN", "value": "$(OTHER)"},
                                {"name": "HEADERS", "value": "authorization=Bearer%20$(OTLP_TOKEN)"},
                                {"name": "DATABASE_URL", "value": "postgresql://tasks@postgres:5432/tasks"},
                            ],
                            "args": ["--password=$(PGPASSWORD)"],
                            "ports": [{"containerPort": 80}],
                        }
                    ],
                }
            },
        },
    },
    {"kind": "Service", "metadata": {"name": "web", "namespace": "tracing"}, "spec": {"type": "ClusterIP"}},
    {"kind": "ConfigMap", "metadata": {"name": "files", "namespace": "tracing"}, "data": {"a": "token_file: /etc/t"}},
    {
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "tracing"},
        "stringData": {"k": "correct horse battery"},
    },
]

Change = Callable[[dict[str, Manifest]], Any]


def pod(objects: dict[str, Manifest]) -> dict[str, Any]:
    """Return the specification of the pods."""
    spec: dict[str, Any] = objects["Deployment"]["spec"]["template"]["spec"]
    return spec


def container(objects: dict[str, Manifest]) -> dict[str, Any]:
    """Return the container."""
    first: dict[str, Any] = pod(objects)["containers"][0]
    return first


def variable(name: str, value: str) -> Change:
    """Return the change that adds a variable."""
    return lambda objects: container(objects)["env"].append({"name": name, "value": value})


def file(text: str) -> Change:
    """Return the change of the ConfigMap's file."""
    return lambda objects: objects["ConfigMap"]["data"].update(a=text)


def own_secret(key: str, value: str) -> Change:
    """Return the change that makes the Secret the stack's own, with this value."""

    def change(objects: dict[str, Manifest]) -> None:
        objects["Secret"]["metadata"]["name"] = secret_keys.SECRET
        objects["Secret"]["stringData"][key] = value

    return change


VIOLATIONS: list[tuple[str, str, Change]] = [
    ("pinned images", "names no version", lambda o: container(o).update(image="web:latest")),
    ("pinned images", "names no version", lambda o: container(o).update(image="registry.example.com:5000/web")),
    (
        "pinned images",
        "container init",
        lambda o: pod(o).update(initContainers=[{**container(o), "name": "init", "image": "web"}]),
    ),
    ("limits", "no resources.limits.memory", lambda o: container(o)["resources"].pop("limits")),
    ("limits", "no resources.requests.cpu", lambda o: container(o)["resources"]["requests"].pop("cpu")),
    ("unprivileged", "is privileged", lambda o: container(o)["securityContext"].update(privileged=True)),
    (
        "unprivileged",
        "may gain privileges",
        lambda o: container(o)["securityContext"].pop("allowPrivilegeEscalation"),
    ),
    ("unprivileged", "may run as root", lambda o: container(o)["securityContext"].update(runAsUser=0)),
    ("unprivileged", "may run as root", lambda o: pod(o)["securityContext"].pop("runAsNonRoot")),
    ("unprivileged", "keeps capabilities", lambda o: container(o)["securityContext"].pop("capabilities")),
    (
        "unprivileged",
        "adds capabilities",
        lambda o: container(o)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
    ),
    ("unprivileged", "no seccomp profile", lambda o: pod(o)["securityContext"].pop("seccompProfile")),
    ("unprivileged", "token for the API server", lambda o: pod(o).pop("automountServiceAccountToken")),
    ("no access to the node", "hostNetwork", lambda o: pod(o).update(hostNetwork=True)),
    ("no access to the node", "hostPID", lambda o: pod(o).update(hostPID=True)),
    (
        "no access to the node",
        "the node's /var/run",
        lambda o: pod(o)["volumes"].append({"name": "run", "hostPath": {"path": "/var/run"}}),
    ),
    ("no access to the node", "the node's port 80", lambda o: container(o)["ports"].append({"hostPort": 80})),
    ("secrets by reference", "variable PGPASSWORD", variable("PGPASSWORD", "hunter22")),
    ("secrets by reference", "variable TRACING_HASH_KEY", variable("TRACING_HASH_KEY", "0123456789abcdef")),
    ("secrets by reference", "variable DATABASE_URL", variable("DATABASE_URL", "postgresql://u:hunter2@db/tasks")),
    (
        "secrets by reference",
        "variable HEADERS",
        variable("HEADERS", "authorization=Bearer%20abcdefghijklmnopqrstuvwxyz"),
    ),
    ("secrets by reference", "command line", lambda o: container(o).update(args=["--api-key=abcdef123456"])),
    ("secrets by reference", "a holds a secret", file("datasource:\n  password: hunter22\n")),
    ("secrets by reference", "a holds a secret", file('{"secretKey": "abcdef123456"}')),
    ("secrets by reference", "a holds a secret", file("-----BEGIN EC PRIVATE KEY-----\n")),
    ("secrets by reference", "value of the secret k", file("quote: correct horse battery staple")),
    ("usable secrets", "otlpToken has a line break", own_secret("otlpToken", "correct horse battery\n")),
    ("usable secrets", "kafkaPassword is empty", own_secret("kafkaPassword", " ")),
    ("usable secrets", "kafkaPassword has a quotation mark", own_secret("kafkaPassword", 'correct"horse')),
    ("usable secrets", "grafanaToken is sent in a header", own_secret("grafanaToken", "größe")),
    ("usable secrets", "postgresPassword has characters other than", own_secret("postgresPassword", "a b")),
    ("private services", "outside", lambda o: o["Service"]["spec"].update(type="LoadBalancer")),
    ("private services", "outside", lambda o: o["Service"]["spec"].update(type="NodePort")),
    ("private services", "outside", lambda o: o["Service"]["spec"].update(externalIPs=["192.0.2.1"])),
    ("private services", "outside", lambda o: o["Service"].update(kind="Ingress")),
    ("only the own namespace", "whole cluster", lambda o: o["Service"].update(kind="ClusterRoleBinding")),
    ("only the own namespace", "names no namespace", lambda o: o["Service"]["metadata"].pop("namespace")),
    ("only the own namespace", "not the stack's", lambda o: o["Service"]["metadata"].update(namespace="kube-system")),
]


def with_change(change: Change) -> list[Manifest]:
    """Return the good objects with one change."""
    manifests = copy.deepcopy(GOOD)
    change({manifest["kind"]: manifest for manifest in manifests})
    return manifests
