"""Manual changes on the real cluster are drift until they are reverted."""

import kubernetes

from stack.deploy.drift import find_drift
from stack.kubernetes.client import connect
from stack.polling import poll_until
from stack.settings import load


def test_a_change_by_hand_is_drift_until_it_is_taken_back() -> None:
    settings = load("local")
    namespace = settings.cluster.namespace
    replicas = settings.services.gateway.replicas
    client = connect(settings.cluster)
    core, apps = kubernetes.client.CoreV1Api(client), kubernetes.client.AppsV1Api(client)
    assert find_drift("local") == [], "the stack is not as declared before the test changes it"
    apps.patch_namespaced_deployment_scale("gateway", namespace, {"spec": {"replicas": 0}})
    core.patch_namespaced_service("gateway", namespace, {"metadata": {"labels": {"by-hand": "yes"}}})
    try:
        fields = {drift.object: [str(field) for field in drift.fields] for drift in find_drift("local")}
        assert fields.keys() == {"deployment/gateway", "service/gateway"}
        assert fields["deployment/gateway"] == [f"spec.replicas: 0, declared {replicas}"]
        (line,) = fields["service/gateway"]
        assert line.startswith("metadata.labels.by-hand: set by ")
    finally:
        apps.patch_namespaced_deployment_scale("gateway", namespace, {"spec": {"replicas": replicas}})
        core.patch_namespaced_service("gateway", namespace, {"metadata": {"labels": {"by-hand": None}}})
    assert find_drift("local") == []
    poll_until(
        "a pod of the gateway",
        lambda: apps.read_namespaced_deployment("gateway", namespace).status.available_replicas,
        seconds=120,
        every=1,
    )
