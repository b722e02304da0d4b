"""The network of a node for tests: a bridge and pods in network namespaces, with the firewall of the local cluster."""

import contextlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import kubernetes

from checks.harness.server import ServerProcess
from checks.network.sockets import within
from local import firewall, mounts
from local.layout import BRIDGE, POLICY_QUEUE
from local.namespace import Namespace
from tests.support.api_server import ApiServer
from tests.support.programs import require_built
from tests.support.relay import relay

NODE: Final = "10.244.0.1"
RANGE: Final = "10.244.0.0/21"


@dataclass
class PodNetwork:
    """A node whose pods are network namespaces with listening sockets."""

    api: ApiServer
    directory: Path
    node: Namespace
    program: ServerProcess
    """Enforces the policies."""
    cleanup: contextlib.ExitStack
    pods: dict[str, Path] = field(default_factory=dict)
    """Address of a pod → its network namespace."""

    def add(self, namespace: str, name: str, labels: Mapping[str, str], ports: Mapping[str, int]) -> str:
        """Create a pod that listens on its ports, and return its address."""
        address = f"10.244.0.{len(self.pods) + 10}"
        file = self.directory / f"pod-{address}"
        pod = Namespace(file)
        pod.create()
        self.cleanup.callback(mounts.unmount_below, file)
        self._plug(pod, address)
        self.pods[address] = file
        for port in ports.values():
            self.cleanup.enter_context(within(file, partial(socket.create_server, ("0.0.0.0", port))))
        self._declare(namespace, name, labels, ports, address)
        return address

    def _plug(self, pod: Namespace, address: str) -> None:
        link = f"pod{address.rpartition('.')[2]}"
        self.node.run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(pod.file))
        self.node.run("ip", "link", "set", link, "master", BRIDGE, "up")
        for command in (
            ("link", "set", "lo", "up"),
            ("address", "add", f"{address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("route", "add", "default", "via", NODE),
        ):
            pod.run("ip", *command)

    def _declare(
        self, namespace: str, name: str, labels: Mapping[str, str], ports: Mapping[str, int], address: str
    ) -> None:
        core = kubernetes.client.CoreV1Api(self.api.client)
        container: dict[str, Any] = {
            "name": "main",
            "image": "example.com/none:1",
            "ports": [{"name": port, "containerPort": number} for port, number in ports.items()],
        }
        spec = {"nodeName": "node1", "containers": [container]}
        core.create_namespaced_pod(namespace, {"metadata": {"name": name, "labels": dict(labels)}, "spec": spec})
        status = {"podIP": address, "podIPs": [{"ip": address}], "hostIP": NODE, "phase": "Running"}
        core.patch_namespaced_pod_status(name, namespace, {"status": status})


@contextlib.contextmanager
def pod_network(api: ApiServer, directory: Path) -> Iterator[PodNetwork]:
    """Make the network, and enforce the policies of an API server in it."""
    node = Namespace(directory / "node")
    with contextlib.ExitStack() as cleanup:
        node.create()
        cleanup.callback(mounts.unmount_below, directory / "node")
        node.run("ip", "link", "set", "lo", "up")
        node.run("ip", "link", "add", BRIDGE, "type", "bridge")
        node.run("ip", "address", "add", f"{NODE}/24", "dev", BRIDGE)
        node.run("ip", "link", "set", BRIDGE, "up")
        for name in ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"):
            node.set(name, "1")
        firewall.let_pods_pass(node, NODE)
        _declare_node(api)
        # The API server listens on this machine's loopback address, which is another one in the namespace.
        port = int(api.client.configuration.host.rpartition(":")[2])
        assert node.file
        listener = cleanup.enter_context(within(node.file, lambda: socket.create_server(("127.0.0.1", port))))
        cleanup.enter_context(relay(listener, port, port))
        program = require_built("kubernetes")
        command = [program, "network-policies", f"--kubeconfig={api.kubeconfig}", f"--pod-range={RANGE}"]
        process = ServerProcess(
            "policies",
            node.enter(*map(str, command), f"--queue={POLICY_QUEUE}"),
            directory,
            lambda: "enforcing" in (directory / "policies.log").read_text(),
        )
        cleanup.callback(process.kill)
        process.start()
        yield PodNetwork(api=api, directory=directory, node=node, program=process, cleanup=cleanup)


def _declare_node(api: ApiServer) -> None:
    core = kubernetes.client.CoreV1Api(api.client)
    core.create_node({"metadata": {"name": "node1"}})
    core.patch_node_status("node1", {"status": {"addresses": [{"type": "InternalIP", "address": NODE}]}})
