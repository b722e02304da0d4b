"""The configuration files of the cluster's programs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from local import pki
from local.files import write_text
from local.layout import (
    BRIDGE,
    CNI_NETWORK,
    DNS_HEALTH_PORT,
    DNS_READY_PORT,
    GATEWAY,
    KUBELET_HEALTH_PORT,
    KUBELET_PORT,
    PAUSE_IMAGE,
)
from local.nodes import Node
from local.paths import Home

Document = dict[str, Any]


def write_control_plane(home: Home, *, upstream_dns: bool) -> None:
    """Writes the files of the control plane whose content changed.

    Args:
        home: where the keys exist and the files go.
        upstream_dns: whether CoreDNS forwards the names that it does not know.
    """
    run = home.run
    files = {run / "Corefile": _corefile(run, upstream_dns)}
    for identity in ("admin", "controllers", "scheduler", "proxy", "dns"):
        files[run / f"{identity}.kubeconfig"] = pki.kubeconfig(run / "pki", identity)
    _write(files)


def write_node(home: Home, node: Node, *, cni_directory: Path) -> None:
    """Writes the files of a node whose content changed.

    Args:
        home: where the keys exist and the files go.
        node: the node.
        cni_directory: directory of the CNI plugins.
    """
    directory = home.node(node.name)
    kubelet = pki.kubelet_identity(node).file
    _write(
        {
            directory / "containerd.toml": _containerd(home, node, cni_directory),
            directory / "cni" / "10-pods.conflist": _json(_cni(directory, node)),
            directory / "kubelet.yaml": yaml.safe_dump(_kubelet(home, node)),
            directory / "kubelet.kubeconfig": pki.kubeconfig(home.run / "pki", kubelet),
        }
    )


def _write(files: Mapping[Path, str]) -> None:
    for path, text in files.items():
        if not path.exists() or path.read_text() != text:
            write_text(path, text, mode=0o600)


def has_upstream_dns(resolv: Path = Path("/etc/resolv.conf")) -> bool:
    """Whether the machine has a DNS server. Without one, CoreDNS does not start if it has to forward."""
    try:
        return any(line.split()[:1] == ["nameserver"] for line in resolv.read_text().splitlines())
    except OSError:
        return False


def _containerd(home: Home, node: Node, cni_directory: Path) -> str:
    directory = home.node(node.name)
    return f"""\
version = 2
root = "{home.image_store(node.number)}"
state = "{directory}/containerd"
[grpc]
  address = "{directory}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{directory}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true # the machine may lack CAP_SYS_RESOURCE
  netns_mounts_under_state_dir = true # so that `down` finds them below the run directory
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "{directory}/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_directory}"
    conf_dir = "{directory}/cni"
"""


def _cni(directory: Path, node: Node) -> Document:
    ranges = [[{"subnet": node.subnet, "gateway": node.address}]]
    ipam = {
        "type": "host-local",
        "ranges": ranges,
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(directory / "cni-leases"),
    }
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        # The plugin would hide a pod's address from the other nodes, so `local.network` masquerades instead.
        "ipMasq": False,
        "hairpinMode": True,  # a pod can reach itself through its own Service
        "ipam": ipam,
    }
    port_map = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": CNI_NETWORK, "plugins": [bridge, port_map]}


def _kubelet(home: Home, node: Node) -> Document:
    keys, directory = home.run / "pki", home.node(node.name)
    identity = pki.kubelet_identity(node).file
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "port": KUBELET_PORT,
        "healthzBindAddress": node.address,  # loopback would be that of the node's namespace
        "healthzPort": KUBELET_HEALTH_PORT,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{keys}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{keys}/{identity}.crt",
        "tlsPrivateKeyFile": f"{keys}/{identity}.key",
        "containerRuntimeEndpoint": f"unix://{directory}/containerd.sock",
        "clusterDNS": [GATEWAY],
        "clusterDomain": "cluster.local",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{home.cgroup}/{node.name}",
        "failCgroupV1": False,  # many machines still have version 1, and so has this project's reference machine
        "failSwapOn": False,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "podPidsLimit": 1024,
        # Never delete images to free disk space: most were built here and cannot be pulled.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "featureGates": {"KubeletInUserNamespace": True},  # the kubelet starts even if kernel settings are read-only
        "volumePluginDir": f"{directory}/volume-plugins",
        "podLogsDir": f"{directory}/pod-logs",
    }


def _corefile(run: Path, upstream_dns: bool) -> str:
    forward = "  forward . /etc/resolv.conf\n" if upstream_dns else ""
    return f"""\
.:53 {{
  bind {GATEWAY}
  errors
  health 127.0.0.1:{DNS_HEALTH_PORT}
  ready 127.0.0.1:{DNS_READY_PORT}
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {run}/dns.kubeconfig
  }}
  cache 5
{forward}}}
"""


def _json(document: Document) -> str:
    return json.dumps(document, indent=1) + "\n"
