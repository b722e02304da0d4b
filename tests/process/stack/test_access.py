"""The rights of the stack's ServiceAccounts, as a real API server reviews them."""

from collections.abc import Iterator
from typing import Any

import kubernetes
import pytest

from stack.polling import poll_until
from tests.support.api_server import ApiServer
from tests.support.program import dev_with

NAMESPACE = "access"
# What the API server grants to everyone who signs in: to ask it about the own rights.
OWN_RIGHTS = {
    ("create", "authentication.k8s.io", "selfsubjectreviews"),
    ("create", "authorization.k8s.io", "selfsubjectaccessreviews"),
    ("create", "authorization.k8s.io", "selfsubjectrulesreviews"),
}
# With any of these, a pod that was broken into could read secrets, become another pod, or leave the namespace.
DANGEROUS = [
    *((verb, "", "secrets", None) for verb in ("get", "list", "watch", "create", "update", "delete")),
    *((verb, "", "pods", None) for verb in ("get", "list", "create", "delete")),
    *(("create", "", "pods", name) for name in ("exec", "portforward", "attach", "ephemeralcontainers")),
    ("get", "", "pods", "log"),
    ("create", "", "serviceaccounts", "token"),
    ("impersonate", "", "serviceaccounts", None),
    *((verb, "apps", "deployments", None) for verb in ("get", "create", "patch", "delete")),
    *((verb, "", "configmaps", None) for verb in ("get", "update")),
    *((verb, "", "nodes", None) for verb in ("get", "list")),
    ("get", "", "nodes", "proxy"),
    *((verb, "rbac.authorization.k8s.io", "rolebindings", None) for verb in ("create", "bind", "escalate")),
    *((verb, "networking.k8s.io", "networkpolicies", None) for verb in ("get", "delete")),
    ("create", "certificates.k8s.io", "certificatesigningrequests", None),
    ("list", "", "namespaces", None),
]
VARIANTS: dict[str, dict[str, Any]] = {
    "own back ends": {},
    "bucket": {
        "traces": {
            "objectStorage": {"s3": {"bucket": "traces", "endpoint": "s3.example.com"}},
            "distributed": {"replicas": 3},
        }
    },
    "publisher": {"grafana": {"url": "https://grafana.example.com", "external": {"api": {}}}},
}


@pytest.fixture(scope="module")
def accounts(server: ApiServer) -> Iterator[list[str]]:
    """The names of all accounts that stacks have, and of the namespace's own, which exist on the API server."""
    core = kubernetes.client.CoreV1Api(server.client)
    core.create_namespace({"metadata": {"name": NAMESPACE}})
    names = {"default"}
    for sections in VARIANTS.values():
        objects = dev_with(cluster={"context": "dev", "namespace": NAMESPACE}, **sections)
        names |= {name for kind, name in objects if kind == "ServiceAccount"}
        assert not [kind for kind, _ in objects if "Role" in kind], "the stack grants no rights"
    for name in names:
        core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": name}})
    yield sorted(names)
    core.delete_namespace(NAMESPACE)


def user(account: str) -> str:
    return f"system:serviceaccount:{NAMESPACE}:{account}"


def groups() -> list[str]:
    return ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated"]


def may(server: ApiServer, account: str, verb: str, group: str, resource: str, part: str | None) -> bool:
    attributes = {"namespace": NAMESPACE, "verb": verb, "group": group, "resource": resource, "subresource": part}
    review = kubernetes.client.AuthorizationV1Api(server.client).create_subject_access_review(
        {"spec": {"user": user(account), "groups": groups(), "resourceAttributes": attributes}}
    )
    return bool(review.status.allowed)


def rules(server: ApiServer, account: str) -> set[tuple[str, str, str]]:
    """Return verb, group and resource of all that an account may do in the namespace, as itself."""
    client = kubernetes.client.ApiClient(server.client.configuration)
    client.set_default_header("Impersonate-User", user(account))
    review = kubernetes.client.AuthorizationV1Api(client).create_self_subject_rules_review(
        {"spec": {"namespace": NAMESPACE}}
    )
    return {
        (verb, group, resource)
        for rule in review.status.resource_rules
        for verb in rule.verbs
        for group in rule.api_groups
        for resource in rule.resources
    }


def test_accounts_may_do_nothing(server: ApiServer, accounts: list[str]) -> None:
    assert len(accounts) > 15
    for account in accounts:
        assert rules(server, account) == OWN_RIGHTS, account


def test_no_account_may_do_what_is_dangerous(server: ApiServer, accounts: list[str]) -> None:
    allowed = [(account, *action) for account in accounts for action in DANGEROUS if may(server, account, *action)]
    assert allowed == []


def test_a_right_would_be_noticed(server: ApiServer, accounts: list[str]) -> None:
    rbac = kubernetes.client.RbacAuthorizationV1Api(server.client)
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    rbac.create_namespaced_role(NAMESPACE, {"metadata": {"name": "reader"}, "rules": [rule]})
    rbac.create_namespaced_role_binding(
        NAMESPACE,
        {
            "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": accounts[0], "namespace": NAMESPACE}],
        },
    )
    poll_until("the right", lambda: may(server, accounts[0], "get", "", "secrets", None), seconds=10)
    assert rules(server, accounts[0]) == {*OWN_RIGHTS, ("get", "", "secrets")}
    rbac.delete_namespaced_role_binding("reader", NAMESPACE)
    poll_until("no right", lambda: not may(server, accounts[0], "get", "", "secrets", None), seconds=10)


def test_pods_have_accounts_of_their_own_and_no_token() -> None:
    for sections in VARIANTS.values():
        objects = dev_with(**sections)
        pods = {
            name: item["spec"]["template"]["spec"]
            for (kind, name), item in objects.items()
            if kind in ("Deployment", "StatefulSet")
        }
        assert {name: pod["serviceAccountName"] for name, pod in pods.items()} == {name: name for name in pods}
        assert not [name for name, pod in pods.items() if pod["automountServiceAccountToken"] is not False]
        tokens = [volume for pod in pods.values() for volume in pod.get("volumes", []) if "projected" in volume]
        assert not tokens
