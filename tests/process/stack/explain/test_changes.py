"""What changed last, as a real API server tells: releases, changes by hand, undone deployments, stopped workloads."""

import time
from datetime import UTC, datetime
from typing import Any

import kubernetes

from contracts.metadata import FIELD_MANAGER
from stack.explain.changes import stack_changes
from stack.explain.readiness import unready_pods
from stack.explain.writes import REVISION_SECONDS
from tests.support.api_server import ApiServer
from tests.support.small_stack import IMAGE, SmallStack, find

PART_OF_LABEL = "app.kubernetes.io/part-of"


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
    assert "Service gateway" in first
    time.sleep(2)
    find(declared, "ConfigMap", "collector-config")["data"]["collector.yaml"] = "receivers: {}"
    template = find(declared, "StatefulSet", "collector")["spec"]["template"]
    template["metadata"]["annotations"]["web-crawl-tracing/config-checksum"] = "another"
    stack.deploy(declared)
    changes = stack_changes(stack.client, stack.namespace)
    assert "collector got revision 2 (a release): new configuration, in its ConfigMap" in [
        change.text for change in changes
    ]
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
        text == f'gateway got revision 3 (a release): spec.containers[gateway].image: "{IMAGE}1" → "{IMAGE}"'
        for text in newest
    )
    assert FIELD_MANAGER not in " ".join(newest)


def _labels(template: dict[str, Any]) -> dict[str, str]:
    # With the labels that the ReplicaSet selects, it would adopt the pod and delete it as one too many.
    return {PART_OF_LABEL: template["metadata"]["labels"][PART_OF_LABEL]}


def test_a_pod_that_is_not_ready_is_named_with_its_reason(server: ApiServer) -> None:
    stack = SmallStack(server, "explained-unready")
    stack.deploy(stack.manifests("gateway"))
    template = find(stack.manifests("gateway"), "Deployment", "gateway")["spec"]["template"]
    name = "gateway-without-node"
    server.reports.unready.add(name)
    pod = {"metadata": {"name": name, "labels": _labels(template)}, "spec": template["spec"]}
    stack.core.create_namespaced_pod(stack.namespace, pod)
    assert f"pod {name} is not ready: Pending" in unready_pods(stack.client, stack.namespace)
    waiting = {"name": "gateway", "ready": False, "restartCount": 4, "image": IMAGE, "imageID": ""}
    state = {"waiting": {"reason": "ImagePullBackOff"}}
    status = {"status": {"containerStatuses": [{**waiting, "state": state}]}}
    stack.core.patch_namespaced_pod_status(name, stack.namespace, status)
    named = [text for text in unready_pods(stack.client, stack.namespace) if name in text]
    assert named == [f"pod {name} is not ready: container gateway: ImagePullBackOff, 4 restarts"]


def _restarted(stack: SmallStack, name: str, seconds_ago: float, exit_code: int, reason: str) -> str:
    """Create a pod whose container was restarted; return the pod's uid."""
    template = find(stack.manifests("gateway"), "Deployment", "gateway")["spec"]["template"]
    pod = {"metadata": {"name": name, "labels": _labels(template)}, "spec": template["spec"]}
    uid = str(stack.core.create_namespaced_pod(stack.namespace, pod).metadata.uid)
    ended = {"reason": reason, "exitCode": exit_code, "finishedAt": _time(seconds_ago), "startedAt": _time(900)}
    container = {"name": "gateway", "ready": True, "restartCount": 1, "image": IMAGE, "imageID": ""}
    status = {"status": {"containerStatuses": [{**container, "lastState": {"terminated": ended}}]}}
    stack.core.patch_namespaced_pod_status(name, stack.namespace, status)
    return uid


def _kill(stack: SmallStack, name: str, uid: str, seconds_ago: float, message: str) -> None:
    stack.core.create_namespaced_event(
        stack.namespace,
        {
            "metadata": {"name": f"{name}.1"},
            "involvedObject": {
                "kind": "Pod",
                "namespace": stack.namespace,
                "name": name,
                "uid": uid,
                "fieldPath": "spec.containers{gateway}",
            },
            "reason": "Killing",
            "message": message,
            "type": "Normal",
            "lastTimestamp": _time(seconds_ago),
        },
    )


def _time(seconds_ago: float) -> str:
    return datetime.fromtimestamp(time.time() - seconds_ago, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _restarts(stack: SmallStack) -> list[str]:
    return [text for text in texts(stack) if "restarted" in text]


def test_a_container_that_its_liveness_probe_killed_is_no_end_of_its_own(server: ApiServer) -> None:
    stack = SmallStack(server, "explained-liveness")
    stack.deploy(stack.manifests("gateway"))
    uid = _restarted(stack, "hung", 30, 0, "Completed")
    _kill(stack, "hung", uid, 55, "Container gateway failed liveness probe, will be restarted")
    uid = _restarted(stack, "ended", 300, 0, "Completed")
    _kill(stack, "ended", uid, 301, "Stopping container gateway")
    assert _restarts(stack) == [
        "pod hung restarted (killed: its liveness probe failed)",
        "pod ended restarted (Completed, exit code 0)",
    ]


def test_an_earlier_failure_of_the_probe_does_not_explain_a_later_end(server: ApiServer) -> None:
    stack = SmallStack(server, "explained-later")
    stack.deploy(stack.manifests("gateway"))
    uid = _restarted(stack, "crashed", 30, 1, "Error")
    _kill(stack, "crashed", uid, 600, "Container gateway failed liveness probe, will be restarted")
    assert _restarts(stack) == ["pod crashed restarted (Error, exit code 1)"]


def test_a_restart_of_the_machine_is_one_change(server: ApiServer) -> None:
    stack = SmallStack(server, "explained-machine")
    stack.deploy(stack.manifests("gateway"))
    for number in range(6):
        _restarted(stack, f"pod-{number}", 100 - number, 255, "Unknown")
    _restarted(stack, "earlier", 800, 255, "Unknown")
    assert _restarts(stack) == [
        "pods pod-0, pod-1, pod-2, pod-3 and 2 more pods restarted (Unknown, exit code 255)",
        "pod earlier restarted (Unknown, exit code 255)",
    ]


def test_a_change_by_hand_that_makes_a_revision_is_listed_once(server: ApiServer) -> None:
    stack = SmallStack(server, "explained-once")
    declared = stack.manifests("gateway", "collector")
    stack.deploy(declared)
    time.sleep(REVISION_SECONDS + 1)  # so that the release is not taken for the author of the revision
    annotations = {"spec": {"template": {"metadata": {"annotations": {"example.com/restarted": "now"}}}}}
    stack.apps.patch_namespaced_stateful_set("collector", stack.namespace, annotations, field_manager="kubectl-rollout")
    time.sleep(1)
    (change,) = (text for text in texts(stack) if "collector" in text and "a release" not in text)
    assert change.startswith("collector got revision 2 (kubectl-rollout): ")
