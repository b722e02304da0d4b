"""The rules of the policy on a real API server, which evaluates them for everyone who applies an object."""

from collections.abc import Iterator
from typing import Any

import kubernetes
import pytest
import yaml

from contracts.metadata import Manifest
from stack.deploy import policy
from stack.deploy.admission import CHECKED_RULES, NOT_CHECKED, admission_policies
from stack.polling import poll_until
from stack.settings import PROJECT, effective_config, parse
from tests.support.api_server import ApiServer
from tests.support.command_line import wct
from tests.support.policy_cases import GOOD, VIOLATIONS, Change, with_change
from tests.support.program import dev_with

NAMESPACE = "admission"
OTHER = "admission-other"
# What needs other objects, the contents of files, or more than the pattern of a name.
IN_PYTHON_ALONE = (
    "a holds a secret",
    "value of the secret k",
    "variable DATABASE_URL",
    "variable HEADERS",
    "command line",
    *("names no namespace", "not the stack's", "whole cluster"),
    *(part for rule, part, _ in VIOLATIONS if rule == "usable secrets"),
)
# The API server refuses an object before it asks a policy: no container is privileged and may not gain privileges.
INVALID = ("is privileged",)
CASES = [case for case in VIOLATIONS if case[1] not in (*IN_PYTHON_ALONE, *INVALID)]


@pytest.fixture(scope="module")
def policies(server: ApiServer) -> Iterator[ApiServer]:
    """The API server, with the policies for one namespace in force."""
    core = kubernetes.client.CoreV1Api(server.client)
    for name in (NAMESPACE, OTHER):
        core.create_namespace({"metadata": {"name": name}})
    config = effective_config("dev") | {f"{PROJECT}:cluster": {"context": "dev", "namespace": NAMESPACE}}
    made = admission_policies(parse(config, "dev"))
    for item in made:
        kubernetes.utils.create_from_dict(server.client, item)
    bad = with_change(lambda objects: objects["Service"]["spec"].update(type="NodePort"))

    def in_force() -> bool:
        return all(refusal(server, NAMESPACE, item) for item in (bad[2], with_change(CASES[0][2])[1]))

    poll_until("the policies to be in force", in_force, seconds=60)
    yield server
    api = kubernetes.client.AdmissionregistrationV1Api(server.client)
    for item in made:
        delete = (
            api.delete_validating_admission_policy
            if item["kind"] == "ValidatingAdmissionPolicy"
            else api.delete_validating_admission_policy_binding
        )
        delete(item["metadata"]["name"])


def complete(manifest: Manifest) -> Manifest:
    """Return a manifest that the API server accepts, with the fields that no rule reads."""
    labels = {"app": "web"}
    made: dict[str, Any] = {"apiVersion": "v1", **yaml.safe_load(yaml.safe_dump(manifest))}
    if made["kind"] == "Deployment":
        made["apiVersion"] = "apps/v1"
        made["spec"]["selector"] = {"matchLabels": labels}
        made["spec"]["template"]["metadata"] = {"labels": labels}
        for port in made["spec"]["template"]["spec"]["containers"][0]["ports"]:
            port.setdefault("containerPort", port.get("hostPort", 80))
    elif made["kind"] == "Service":
        made["spec"] = {**made["spec"], "selector": labels, "ports": [{"port": 80}]}
    elif made["kind"] == "Ingress":
        made["apiVersion"] = "networking.k8s.io/v1"
        made["spec"] = {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}
    return made


def refusal(server: ApiServer, namespace: str, manifest: Manifest) -> str:
    """Return why the API server refuses an object; empty if it accepts it. Nothing is created."""
    made = complete(manifest)
    made["metadata"] = {**made["metadata"], "namespace": namespace}
    try:
        kubernetes.utils.create_from_dict(server.client, made, namespace=namespace, dry_run="All")
    except kubernetes.utils.FailToCreateError as error:
        return " ".join(str(item.body) for item in error.api_exceptions)
    return ""


@pytest.mark.parametrize(("rule", "part", "change"), CASES)
def test_a_bad_object_is_refused_by_the_rule(policies: ApiServer, rule: str, part: str, change: Change) -> None:
    changed = [item for item, good in zip(with_change(change), GOOD, strict=True) if item != good]
    (message,) = (refusal(policies, NAMESPACE, item) for item in changed)
    assert f"(rule '{rule}')" in message, message
    # Other namespaces are not the stack's.
    assert not [text for item in changed if "(rule" in (text := refusal(policies, OTHER, item))]


def test_good_objects_are_accepted(policies: ApiServer) -> None:
    assert [refusal(policies, NAMESPACE, item) for item in GOOD if item["kind"] != "Namespace"] == [""] * 4


@pytest.mark.parametrize("backend", ["tempo", "jaeger"])
def test_what_a_stack_declares_is_accepted(policies: ApiServer, backend: str) -> None:
    objects = dev_with(cluster={"context": "dev", "namespace": NAMESPACE}, traces={"backend": backend})
    for (kind, name), item in objects.items():
        if kind in ("Deployment", "StatefulSet", "Service", "ConfigMap", "NetworkPolicy"):
            assert refusal_as_it_is(policies, item) == "", name


def refusal_as_it_is(server: ApiServer, manifest: Manifest) -> str:
    try:
        kubernetes.utils.create_from_dict(server.client, manifest, namespace=NAMESPACE, dry_run="All")
    except kubernetes.utils.FailToCreateError as error:
        return " ".join(str(item.body) for item in error.api_exceptions)
    return ""


def test_every_rule_is_checked_or_says_why_not() -> None:
    assert {*CHECKED_RULES, *NOT_CHECKED} == policy.RULES.keys()
    assert {rule for rule, _, _ in CASES} == CHECKED_RULES


def test_the_command_prints_the_policies_of_a_stack() -> None:
    printed = list(yaml.safe_load_all(wct("admission", "dev").stdout))
    assert [item["kind"] for item in printed] == [
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ] * 3
