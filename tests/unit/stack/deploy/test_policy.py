"""Every stack keeps the rules, and each rule finds its violations."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.metadata import Manifest
from stack.deploy import policy
from stack.deploy.policy import PolicyError, require_compliance, violations
from stack.settings import ROOT
from tests.support.command_line import wct
from tests.support.program import rendered, rendered_with_secrets

STACKS = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))

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
    spec: dict[str, Any] = objects["Deployment"]["spec"]["template"]["spec"]
    return spec


def container(objects: dict[str, Manifest]) -> dict[str, Any]:
    first: dict[str, Any] = pod(objects)["containers"][0]
    return first


def variable(name: str, value: str) -> Change:
    return lambda objects: container(objects)["env"].append({"name": name, "value": value})


def file(text: str) -> Change:
    return lambda objects: objects["ConfigMap"]["data"].update(a=text)


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
    ("private services", "outside", lambda o: o["Service"]["spec"].update(type="LoadBalancer")),
    ("private services", "outside", lambda o: o["Service"]["spec"].update(type="NodePort")),
    ("private services", "outside", lambda o: o["Service"]["spec"].update(externalIPs=["192.0.2.1"])),
    ("private services", "outside", lambda o: o["Service"].update(kind="Ingress")),
    ("only the own namespace", "whole cluster", lambda o: o["Service"].update(kind="ClusterRoleBinding")),
    ("only the own namespace", "names no namespace", lambda o: o["Service"]["metadata"].pop("namespace")),
    ("only the own namespace", "not the stack's", lambda o: o["Service"]["metadata"].update(namespace="kube-system")),
]


def several(change: Change) -> Change:
    def changed(objects: dict[str, Manifest]) -> None:
        objects["Deployment"]["spec"]["replicas"] = 2
        objects["Deployment"]["spec"]["template"]["metadata"] = {"labels": {"app": "web"}}
        keys = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
        pod(objects)["topologySpreadConstraints"] = [{"topologyKey": key} for key in keys]
        change(objects)

    return changed


def with_change(change: Change) -> list[Manifest]:
    manifests = copy.deepcopy(GOOD)
    change({manifest["kind"]: manifest for manifest in manifests})
    return manifests


@pytest.mark.parametrize("stack", STACKS)
def test_every_stack_keeps_the_rules(stack: str) -> None:
    assert violations(rendered(stack)) == violations(rendered_with_secrets(stack)) == []


def test_good_objects_are_accepted() -> None:
    require_compliance(GOOD)


@pytest.mark.parametrize(("rule", "part", "change"), VIOLATIONS)
def test_a_violation_is_refused_by_its_rule(rule: str, part: str, change: Change) -> None:
    with pytest.raises(PolicyError) as caught:
        require_compliance(with_change(change))
    assert any(rule in line and part in line for line in str(caught.value).splitlines()), caught.value


def test_every_rule_has_a_violation() -> None:
    assert {rule for rule, _, _ in VIOLATIONS} == policy.RULES.keys()


def budget(app: str) -> Manifest:
    return {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "tracing"},
        "spec": {"selector": {"matchLabels": {"app": app}}},
    }


def test_several_pods_are_spread_and_have_a_budget() -> None:
    assert violations([*with_change(several(lambda o: None)), budget("web")]) == []
    (without,) = violations([*with_change(several(lambda o: None)), budget("other")])
    assert (without.rule, without.problem) == ("available", "has several pods and no PodDisruptionBudget")
    one_key = several(lambda o: pod(o)["topologySpreadConstraints"].pop())
    (unspread,) = violations([*with_change(one_key), budget("web")])
    assert (unspread.rule, unspread.problem) == (
        "available",
        "its pods are not spread over topology.kubernetes.io/zone",
    )


@pytest.mark.parametrize("change", [variable("PGPASSWORD", "hunter22"), file("x: correct horse battery staple")])
def test_a_secret_is_not_repeated_by_the_refusal(change: Change) -> None:
    text = "".join(str(item) for item in violations(with_change(change)))
    assert "hunter22" not in text
    assert "battery" not in text


@pytest.mark.parametrize("kind", ["Pod", "CronJob"])
def test_pods_of_every_kind_are_checked(kind: str) -> None:
    spec = pod({"Deployment": copy.deepcopy(GOOD[1])}) | {"hostIPC": True}
    jobs = {"jobTemplate": {"spec": {"template": {"spec": spec}}}}
    made = {
        "kind": kind,
        "metadata": {"name": "x", "namespace": "tracing"},
        "spec": spec if kind == "Pod" else jobs,
    }
    assert [item.rule for item in violations([made])] == ["no access to the node"]


def test_a_variable_may_name_the_file_of_a_secret_that_is_mounted() -> None:
    def mounted(objects: dict[str, Manifest]) -> None:
        container(objects)["volumeMounts"] = [{"name": "keys", "mountPath": "/etc/keys"}]
        variable("CLOUD_CREDENTIALS", "/etc/keys/account.json")(objects)

    assert violations(with_change(mounted)) == []
    (violation,) = violations(with_change(variable("CLOUD_CREDENTIALS", "/etc/keys/account.json")))
    assert violation.rule == "secrets by reference"


def test_a_service_with_a_reason_may_be_public() -> None:
    def public(objects: dict[str, Manifest]) -> None:
        objects["Service"]["spec"]["type"] = "LoadBalancer"
        objects["Service"]["metadata"]["annotations"] = {"web-crawl-tracing/public": "the front door"}

    assert violations(with_change(public)) == []


def test_nothing_is_written_of_a_stack_that_breaks_a_rule(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(policy, "RULES", {"nothing at all": lambda manifest: iter(["exists"])})
    written = tmp_path / "dev.yaml"
    result = wct("render", "dev", "--output", str(written))
    assert result.exit_code == 1
    assert "namespace/tracing: exists (rule 'nothing at all')" in result.stderr
    assert not written.exists()
