"""The cluster's programs and their flags."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local.layout import API_PORT, BRIDGE, GATEWAY, POD_RANGE, POLICY_QUEUE, SERVICE_SUBNET
from local.nodes import Node
from local.paths import Home


@dataclass(frozen=True, kw_only=True)
class Component:
    """One program of the cluster.

    Attributes:
        name: its name; that of a node's component begins with the node's, like node1/kubelet.
        command: program and flags.
        reads: the files that it reads when it starts.
        node: the node that it is part of; None for the control plane.
    """

    name: str
    command: tuple[str, ...]
    reads: tuple[Path, ...] = ()
    node: Node | None = None

    def fingerprint(self) -> str:
        """A hash of the flags, the files and the binary. If it changes, the component has to be restarted."""
        digest = hashlib.sha256("\0".join(self.command).encode())
        binary = Path(self.command[0])
        for file in (*self.reads, binary.with_name(f"{binary.name}.stamp")):
            digest.update(file.read_bytes() if file.exists() else b"")
        return digest.hexdigest()[:16]


def control_plane(home: Home) -> Sequence[Component]:
    """The components of the control plane.

    Args:
        home: where the cluster's files are.
    """
    return (
        _etcd(home),
        _apiserver(home),
        _controllers(home),
        _scheduler(home),
        _kubernetes(home, "dns", "coredns", f"-conf={home.run}/Corefile", reads=(home.run / "Corefile",)),
    )


def node_components(
    home: Home, node: Node, *, containerd: str, masquerade_all: bool, queues_work: bool
) -> Sequence[Component]:
    """The components of a node.

    Args:
        home: where the cluster's files are.
        node: the node.
        containerd: path of that program.
        masquerade_all: whether kube-proxy hides the sender of every packet that goes to a Service.
        queues_work: whether the firewall can queue packets; without it, NetworkPolicies are not enforced.
    """
    components = (_containerd(home, node, containerd), _kubelet(home, node), _proxy(home, node, masquerade_all))
    return (*components, _policies(home, node)) if queues_work else components


def _kubernetes(
    home: Home, name: str, program: str, *flags: str, reads: tuple[Path, ...] = (), node: Node | None = None
) -> Component:
    """A component that is part of the binary `kubernetes`."""
    command = (str(home.bin / "kubernetes"), program, *flags)
    return Component(name=name, command=command, reads=(*reads, home.run / "pki" / "ca.crt"), node=node)


def _containerd(home: Home, node: Node, program: str) -> Component:
    configuration = home.node(node.name) / "containerd.toml"
    return Component(
        name=f"{node.name}/containerd",
        command=(program, "--config", str(configuration)),
        reads=(configuration,),
        node=node,
    )


def _etcd(home: Home) -> Component:
    run = home.run
    unused = "http://localhost"  # these flags need an address, but no other member of etcd reads it
    return _kubernetes(
        home,
        "etcd",
        "etcd",
        f"--data-dir={run}/etcd",
        # Sockets need no free port, and only root can read the cluster's secrets through them.
        f"--listen-client-urls={_etcd_socket(home)}",
        f"--advertise-client-urls={unused}:2379",
        f"--listen-peer-urls=unix://{run}/etcd-peer.sock",
        f"--initial-advertise-peer-urls={unused}:2380",
        f"--initial-cluster=default={unused}:2380",
        "--log-level=warn",
        # Without fsync only a reboot loses data, and after a reboot the cluster starts with empty data.
        "--unsafe-no-fsync",
    )


def _etcd_socket(home: Home) -> str:
    return f"unix://{home.run}/etcd.sock"


def _apiserver(home: Home) -> Component:
    keys = home.run / "pki"
    return _kubernetes(
        home,
        "apiserver",
        "kube-apiserver",
        f"--etcd-servers={_etcd_socket(home)}",
        f"--bind-address={GATEWAY}",
        f"--advertise-address={GATEWAY}",
        f"--secure-port={API_PORT}",
        f"--tls-cert-file={keys}/apiserver.crt",
        f"--tls-private-key-file={keys}/apiserver.key",
        f"--client-ca-file={keys}/ca.crt",
        "--anonymous-auth=false",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-account-key-file={keys}/sa.pub",
        f"--service-account-signing-key-file={keys}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={SERVICE_SUBNET}",
        f"--kubelet-certificate-authority={keys}/ca.crt",
        f"--kubelet-client-certificate={keys}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={keys}/apiserver-kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged",
        "--profiling=false",
    )


def _kubelet(home: Home, node: Node) -> Component:
    files = home.node(node.name)
    return _kubernetes(
        home,
        f"{node.name}/kubelet",
        "kubelet",
        f"--config={files}/kubelet.yaml",
        f"--kubeconfig={files}/kubelet.kubeconfig",
        f"--hostname-override={node.name}",
        f"--node-labels=topology.kubernetes.io/zone={node.zone}",
        f"--root-dir={files}/kubelet",
        f"--cert-dir={files}/kubelet/pki",
        f"--node-ip={node.address}",
        reads=(files / "kubelet.yaml",),
        node=node,
    )


def _controllers(home: Home) -> Component:
    keys = home.run / "pki"
    return _kubernetes(
        home,
        "controllers",
        "kube-controller-manager",
        f"--kubeconfig={home.run}/controllers.kubeconfig",
        f"--service-account-private-key-file={keys}/sa.key",
        f"--root-ca-file={keys}/ca.crt",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        "--profiling=false",
    )


def _scheduler(home: Home) -> Component:
    return _kubernetes(
        home,
        "scheduler",
        "kube-scheduler",
        f"--kubeconfig={home.run}/scheduler.kubeconfig",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        "--profiling=false",
    )


def _policies(home: Home, node: Node) -> Component:
    return _kubernetes(
        home,
        f"{node.name}/policies",
        "network-policies",
        f"--kubeconfig={home.run}/proxy.kubeconfig",
        f"--pod-range={POD_RANGE}",
        f"--queue={POLICY_QUEUE}",
        node=node,
    )


def _proxy(home: Home, node: Node, masquerade_all: bool) -> Component:
    return _kubernetes(
        home,
        f"{node.name}/proxy",
        "kube-proxy",
        f"--kubeconfig={home.run}/proxy.kubeconfig",
        f"--hostname-override={node.name}",
        "--proxy-mode=iptables",
        "--detect-local-mode=BridgeInterface",
        f"--pod-bridge-interface={BRIDGE}",
        f"--masquerade-all={str(masquerade_all).lower()}",
        # Only this machine can reach a node port. Without loopback, kube-proxy changes no kernel setting.
        f"--nodeport-addresses={node.address}/32",
        "--iptables-localhost-nodeports=false",
        # 0 keeps the kernel's settings of connection tracking, which a container may not be allowed to change.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
        "--metrics-bind-address=127.0.0.1:10249",
        "--healthz-bind-address=127.0.0.1:10256",
        node=node,
    )
