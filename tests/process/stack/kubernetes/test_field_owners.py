"""Fields that other field managers own. On a real API server."""

from tests.support.api_server import ApiServer
from tests.support.small_stack import IMAGE, SmallStack, find


def test_fields_that_others_add_stay_and_declared_fields_that_they_change_are_restored(server: ApiServer) -> None:
    stack = SmallStack(server, "shared")
    declared = stack.manifests("gateway")
    stack.deploy(declared)
    sidecar = {
        "name": "proxy",
        "image": "proxy:1",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    template = {
        "metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}},
        "spec": {"containers": [sidecar, {"name": "gateway", "image": "other:1"}]},
    }
    stack.apps.patch_namespaced_deployment(
        "gateway", stack.namespace, {"spec": {"template": template}}, field_manager="them"
    )
    stack.core.patch_namespaced_service(
        "gateway", stack.namespace, {"spec": {"type": "NodePort"}}, field_manager="them"
    )
    stack.deploy(declared)
    pod = stack.apps.read_namespaced_deployment("gateway", stack.namespace).spec.template
    assert "kubectl.kubernetes.io/restartedAt" in pod.metadata.annotations
    images = {container.name: container.image for container in pod.spec.containers}
    assert images == {"proxy": "proxy:1", "gateway": IMAGE}
    service = stack.core.read_namespaced_service("gateway", stack.namespace).spec
    assert (service.type, service.ports[0].node_port) == ("ClusterIP", None)


def test_ports_are_identified_by_number_and_protocol(server: ApiServer) -> None:
    stack = SmallStack(server, "ports")
    declared = stack.manifests("gateway")
    stack.deploy(declared)
    ports = find(declared, "Service")["spec"]["ports"]
    ports.append({**ports[0], "name": "udp", "protocol": "UDP"})
    ports[0]["port"] = 9999  # another number under the same name
    stack.deploy(declared)
    live = stack.core.read_namespaced_service("gateway", stack.namespace).spec.ports
    assert {(port.name, port.port, port.protocol) for port in live} == {("http", 9999, "TCP"), ("udp", 8080, "UDP")}
