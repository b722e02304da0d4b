"""Who sets the number of pods: the program, or an autoscaler. On a real API server."""

import kubernetes

from stack.polling import poll_until
from tests.support.api_server import ApiServer
from tests.support.small_stack import SmallStack


def test_replicas_stay_when_an_autoscaler_takes_over(server: ApiServer) -> None:
    stack = SmallStack(server, "scaled")
    stack.deploy(stack.manifests("collector", collector={"replicas": 3}))
    pods = stack.pods()
    scaled = stack.manifests("collector", collector={"replicas": 3, "autoscaling": {"maxReplicas": 10}})
    stack.deploy(scaled)
    assert stack.replicas() == 3
    assert stack.pods() == pods
    # Further deployments keep the autoscaler's decision.
    stack.apps.patch_namespaced_stateful_set_scale("collector", stack.namespace, {"spec": {"replicas": 5}})
    poll_until("five pods", lambda: len(stack.pods()) == 5)
    stack.deploy(scaled)
    assert stack.replicas() == 5


def test_replicas_are_declared_again_when_the_autoscaler_is_removed(server: ApiServer) -> None:
    stack = SmallStack(server, "unscaled")
    stack.deploy(stack.manifests("collector", collector={"replicas": 2, "autoscaling": {"maxReplicas": 10}}))
    assert stack.replicas() == 2, "a new workload begins with the autoscaler's minimum"
    stack.apps.patch_namespaced_stateful_set_scale("collector", stack.namespace, {"spec": {"replicas": 5}})
    stack.deploy(stack.manifests("collector", collector={"replicas": 4}))
    assert stack.replicas() == 4
    scaling = kubernetes.client.AutoscalingV2Api(stack.client)
    assert not scaling.list_namespaced_horizontal_pod_autoscaler(stack.namespace).items
    stack.deploy(stack.manifests("collector", collector={"replicas": 3}))
    assert stack.replicas() == 3


def test_an_autoscaler_that_the_stack_does_not_declare_keeps_its_number_of_pods(server: ApiServer) -> None:
    stack = SmallStack(server, "foreign")
    gateway = stack.manifests("gateway", services={"gateway": {"replicas": 2}})
    stack.deploy(gateway)
    kubernetes.client.AutoscalingV2Api(stack.client).create_namespaced_horizontal_pod_autoscaler(
        stack.namespace,
        {
            "metadata": {"name": "theirs"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "gateway"},
                "minReplicas": 4,
                "maxReplicas": 6,
            },
        },
    )

    def replicas() -> int:
        return int(stack.apps.read_namespaced_deployment("gateway", stack.namespace).spec.replicas)

    poll_until("four pods", lambda: replicas() == 4)
    stack.deploy(gateway)
    assert replicas() == 4
    assert any("horizontalpodautoscaler/theirs" in line for line in stack.progress)
