"""Refusals of the API server are known before anything is changed. On a real API server."""

from collections.abc import Callable

import kubernetes
import pytest

from contracts.metadata import Manifest
from stack.errors import DeployError
from stack.kubernetes import wait
from stack.kubernetes.dry_run import require_accepted
from stack.kubernetes.namespace import require_own_namespace
from stack.polling import poll_until
from tests.support.api_server import ApiServer
from tests.support.small_stack import SmallStack, find

HOLD = {"metadata": {"finalizers": ["example.com/hold"]}}


@pytest.fixture(scope="module", autouse=True)
def deleted(server: ApiServer) -> SmallStack:
    """A stack whose namespace is being deleted. Kubernetes takes 5 s to begin: the other tests run meanwhile."""
    stack = SmallStack(server, "deleted")
    stack.deploy(stack.manifests("gateway"))
    stack.core.patch_namespaced_service("gateway", stack.namespace, HOLD)
    stack.core.delete_namespace(stack.namespace)
    return stack


def open_service(stack: SmallStack, declared: list[Manifest]) -> None:
    spec = {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]}
    stack.core.patch_namespaced_service("gateway", stack.namespace, {"spec": spec}, field_manager="another")


def replace_service(stack: SmallStack, declared: list[Manifest]) -> None:
    name = find(declared, "Service", "pods")["metadata"]["name"]
    stack.core.delete_namespaced_service(name, stack.namespace)
    stack.core.create_namespaced_service(
        stack.namespace, {"metadata": {"name": name}, "spec": {"ports": [{"port": 1}]}}
    )


def freeze_secret(stack: SmallStack, declared: list[Manifest]) -> None:
    stack.core.patch_namespaced_secret("stack-secrets", stack.namespace, {"immutable": True})
    find(declared, "Secret")["stringData"]["postgresPassword"] = "another-value"


def hold_deleted_object(stack: SmallStack, declared: list[Manifest]) -> None:
    stack.core.patch_namespaced_config_map("gateway-files", stack.namespace, HOLD)
    stack.core.delete_namespaced_config_map("gateway-files", stack.namespace)


def exceed_quota(stack: SmallStack, declared: list[Manifest]) -> None:
    stack.limit_count("configmaps")
    poll_until("a quota that counts", stack.has_counted_quota)
    declared.append(files(stack.namespace, "more", "x"))


def change_selector_under_quota(stack: SmallStack, declared: list[Manifest]) -> None:
    stack.limit_count("deployments.apps")
    poll_until("a quota that counts", stack.has_counted_quota)
    change_selector(stack, declared)


def exceed_size(stack: SmallStack, declared: list[Manifest]) -> None:
    find(declared, "ConfigMap")["data"]["a"] = "x" * 1_100_000


def change_selector(stack: SmallStack, declared: list[Manifest]) -> None:
    spec = find(declared, "Deployment")["spec"]
    spec["selector"]["matchLabels"]["more"] = spec["template"]["metadata"]["labels"]["more"] = "x"


def change_secret_type(stack: SmallStack, declared: list[Manifest]) -> None:
    find(declared, "Secret").update(type="example.com/other")


def repeat_variable(stack: SmallStack, declared: list[Manifest]) -> None:
    env = find(declared, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"]
    env.append(env[0])


def files(namespace: str, name: str, text: str) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": text}}


@pytest.mark.parametrize(
    ("meddle", "text"),
    [
        (open_service, 'service/gateway: spec.type is "LoadBalancer" and would be "ClusterIP"'),
        (replace_service, "spec.clusterIP is "),
        (freeze_secret, "secret/stack-secrets: data.postgresPassword is (not shown) and would be (not shown)"),
        (hold_deleted_object, "configmap/gateway-files: is being deleted, held by example.com/hold"),
        (exceed_quota, 'configmap/more: configmaps "more" is forbidden: exceeded quota'),
        (exceed_size, 'configmap/gateway-files: ConfigMap "gateway-files" is invalid: []: Too long'),
        (change_selector, 'deployment/gateway: spec.selector.matchLabels.more is unset and would be "x"'),
        (change_selector_under_quota, 'deployment/gateway: spec.selector.matchLabels.more is unset and would be "x"'),
        (change_secret_type, 'secret/stack-secrets: type is "Opaque" and would be "example.com/other"'),
        (repeat_variable, "duplicate entries for key"),
    ],
)
def test_a_refusal_of_the_api_server_is_explained_before_anything_is_changed(
    server: ApiServer, meddle: Callable[[SmallStack, list[Manifest]], None], text: str
) -> None:
    stack = SmallStack(server, meddle.__name__.replace("_", "-"))
    declared = [
        *stack.manifests("gateway", "gateway-pods", "stack-secrets"),
        files(stack.namespace, "gateway-files", "a"),
    ]
    stack.deploy(declared)
    meddle(stack, declared)
    find(declared, "ServiceAccount")["metadata"]["labels"]["changed"] = "yes"  # comes first, and could be changed
    with pytest.raises(DeployError) as refusal:
        stack.deploy(declared)
    assert "Nothing was changed" in str(refusal.value)
    assert text in str(refusal.value)
    assert "another-value" not in str(refusal.value)
    account = stack.core.read_namespaced_service_account("gateway", stack.namespace)
    assert "changed" not in account.metadata.labels


def test_the_first_deployment_is_checked_as_soon_as_its_namespace_exists(server: ApiServer) -> None:
    stack = SmallStack(server, "first")
    declared = stack.manifests("gateway")
    find(declared, "Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = 99999
    with pytest.raises(
        DeployError, match=r"Nothing but its namespace was made.*\n.*containerPort: Invalid value: 99999"
    ):
        stack.deploy(declared)
    assert not stack.core.list_namespaced_service(stack.namespace).items


def test_a_user_who_may_not_read_namespaces_previews_and_is_refused_a_deployment(server: ApiServer) -> None:
    stack = SmallStack(server, "hidden")
    declared = stack.manifests("gateway")
    stack.deploy(declared)
    user = kubernetes.client.ApiClient(server.client.configuration)
    user.set_default_header("Impersonate-User", "viewer")
    user.set_default_header("Impersonate-Group", "system:authenticated")
    require_own_namespace(user, stack.namespace, "test", lenient=True)
    with pytest.raises(DeployError, match=r"namespace hidden cannot be read: namespaces .* is forbidden"):
        require_own_namespace(user, stack.namespace, "test")
    assert require_accepted(user, stack.namespace, declared, lenient=True) == []
    with pytest.raises(DeployError, match=r"the right to read namespace hidden is missing: .*Nothing was changed"):
        require_accepted(user, stack.namespace, declared)


def test_pods_that_the_api_server_refuses_are_named_at_once(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = SmallStack(server, "refused")
    monkeypatch.setattr(wait, "_REFUSAL_SECONDS", 1)
    declared = stack.manifests("gateway")
    del find(declared, "Deployment")["spec"]["template"]["spec"]["securityContext"]
    with pytest.raises(DeployError, match=r"gateway: cannot start, .*violates PodSecurity.*\n.*changed before that"):
        stack.deploy(declared)
    monkeypatch.undo()  # the refusal stays in the status until the new pods are made
    stack.deploy(stack.manifests("gateway"))


def test_a_namespace_that_is_being_deleted_is_named_with_its_finalizers(deleted: SmallStack) -> None:
    poll_until(
        "the namespace's finalizers",
        lambda: "example.com/hold" in str(deleted.core.read_namespace(deleted.namespace).status),
    )
    with pytest.raises(
        DeployError, match=r"Nothing was changed\.\n  namespace/deleted: is being deleted, .*example\.com/hold"
    ):
        deleted.deploy(deleted.manifests("gateway"))
    deleted.core.patch_namespaced_service("gateway", deleted.namespace, {"metadata": {"finalizers": None}})
