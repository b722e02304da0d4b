"""What changed last, as a real API server tells: releases, changes by hand, undone deployments, stopped workloads."""

import time
from typing import Any

import kubernetes

from contracts.metadata import FIELD_MANAGER
from stack.explain.changes import stack_changes
from stack.explain.readiness import unready_pods
from tests.support.api_server import ApiServer
from tests.support.small_stack import IMAGE, SmallStack, find


def texts(stack: SmallStack) -> list[str]:
    """Return the changes, the newest first."""
    return [change.text for change in stack_changes(stack.client, stack.namespace)]


def next_second() -> None:
    """Wait until the API server notes a later time: it notes whole seconds."""
    time.sleep(1.1)


def release(stack: SmallStack, declared: list[Any]) -> None:
    next_second()
    stack.deploy(declared)


def test_a_release_names_what_it_changed_and_no_other_object(server: ApiServer) -> None:
    stack = SmallStack(server, "explained-release")
    declared = stack.manifests("gateway", "collector", "collector-config")
    stack.deploy(declared)
    (first,) = texts(stack)
    assert first.startswith("a release changed ")
    assert "Deployment gateway" in first
    time.sleep(2)
    find(declared, "ConfigMap", "collector-config")["data"]["collector.yaml"] = "receivers: {}"
    template = find(declared, "StatefulSet", "collector")["spec"]["template"]
    template["metadata"]["annotations"]["web-crawl-tracing/config-checksum"] = "another"
    stack.deploy(declared)
    changes = stack_changes(stack.client, stack.namespace)
    assert "collector got revision 2: new configuration, in its ConfigMap" in [change.text for change in changes]
    assert time.time() - changes[0].seconds < 60


def test_a_revision_names_the_changed_fields_and_hides_secrets(server: ApiServer) -> None:
    stack = SmallStack(server, "explained-deployment")
    declared = stack.manifests("gateway")
    stack.deploy(declared)
    (container,) = find(declared, "Deployment", "gateway")["spec"]["template"]["spec"]["containers"]
    container["image"] = f"{IMAGE}1"
    container["env"] = [*container["env"], {"name": "API_TOKEN", "value": "not-to-be-shown"}]
    release(stack, declared)
    (revision,) = (text for text in texts(stack) if text.startswith("gateway got revision 2"))
    assert f'spec.containers[gateway].image: "{IMAGE}" → "{IMAGE}1"' in revision
    assert "spec.containers[gateway].env[API_TOKEN] added" in revision
    assert "not-to-be-shown" not in revision


def test_changes_by_hand_have_the_name_of_their_program(server: ApiServer) -> None:
    stack = SmallStack(server, "explained-hand")
    declared = stack.manifests("gateway")
    stack.deploy(declared)
    next_second()
    policy = {"metadata": {"name": "closed"}, "spec": {"podSelector": {}, "policyTypes": ["Egress"]}}
    policies = kubernetes.client.NetworkingV1Api(stack.client)
    policies.create_namespaced_network_policy(stack.namespace, policy, field_manager="kubectl-create")
    next_second()
    stack.core.patch_namespaced_service(
        "gateway", stack.namespace, {"spec": {"type": "NodePort"}}, field_manager="them"
    )
    by_hand = [text for text in texts(stack) if "a release" not in text]
    assert by_hand[:2] == [
        "them changed Service gateway",
        "kubectl-create changed NetworkPolicy closed",
    ]


def test_a_workload_without_pods_is_listed(server: ApiServer) -> None:
    stack = SmallStack(server, "explained-stop")
    stack.deploy(stack.manifests("gateway"))
    next_second()
    stack.apps.patch_namespaced_deployment_scale("gateway", stack.namespace, {"spec": {"replicas": 0}})
    assert texts(stack)[0] == "Deployment gateway was scaled to 0 pods"


def test_an_undone_deployment_is_the_newest_change(server: ApiServer) -> None:
    stack = SmallStack(server, "explained-undo")
    declared = stack.manifests("gateway")
    stack.deploy(declared)
    (container,) = find(declared, "Deployment", "gateway")["spec"]["template"]["spec"]["containers"]
    container["image"] = f"{IMAGE}1"
    release(stack, declared)
    container["image"] = IMAGE
    release(stack, declared)
    newest = texts(stack)[:2]
    assert any(
        text == f'gateway got revision 3: spec.containers[gateway].image: "{IMAGE}1" → "{IMAGE}"' for text in newest
    )
    assert any(text.startswith("a release changed") for text in newest)
    assert FIELD_MANAGER not in " ".join(newest)


def test_a_pod_that_is_not_ready_is_named_with_its_reason(server: ApiServer) -> None:
    stack = SmallStack(server, "explained-unready")
    stack.deploy(stack.manifests("gateway"))
    template = find(stack.manifests("gateway"), "Deployment", "gateway")["spec"]["template"]
    name = "gateway-without-node"
    pod = {"metadata": {"name": name, "labels": template["metadata"]["labels"]}, "spec": template["spec"]}
    stack.core.create_namespaced_pod(stack.namespace, pod)
    assert f"pod {name} is not ready: Pending" in unready_pods(stack.client, stack.namespace)
    waiting = {"name": "gateway", "ready": False, "restartCount": 4, "image": IMAGE, "imageID": ""}
    state = {"waiting": {"reason": "ImagePullBackOff"}}
    status = {"status": {"containerStatuses": [{**waiting, "state": state}]}}
    stack.core.patch_namespaced_pod_status(name, stack.namespace, status)
    named = [text for text in unready_pods(stack.client, stack.namespace) if name in text]
    assert named == [f"pod {name} is not ready: container gateway: ImagePullBackOff, 4 restarts"]
