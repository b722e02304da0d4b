"""The cluster's programs: their flags, their configuration files, and the traps behind them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local import pki
from local.layout import (
    API_PORT,
    BRIDGE,
    CGROUP,
    CNI_NETWORK,
    DNS_HEALTH_PORT,
    DNS_READY_PORT,
    GATEWAY,
    KUBELET_PORT,
    NODE,
    PAUSE_IMAGE,
    POD_SUBNET,
    SERVICE_SUBNET,
)
from local.paths import Home

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Component:
    """One program of the cluster; `reads` are the files it is started from."""

    name: str
    command: tuple[str, ...]
    reads: tuple[Path, ...] = ()

    def fingerprint(self) -> str:
        """Changes when the component has to be restarted: other flags, other files, another binary."""
        digest = hashlib.sha256("\0".join(self.command).encode())
        binary = Path(self.command[0])
        for file in (*self.reads, binary.with_name(f"{binary.name}.stamp")):
            digest.update(file.read_bytes() if file.exists() else b"")
        return digest.hexdigest()[:16]


def write_files(home: Home, *, cni_directory: Path, upstream_dns: bool) -> None:
    """Writes every configuration file and kubeconfig, each only if its content changes. The keys must exist."""
    run = home.run
    files = {
        run / "containerd.toml": _containerd(home, cni_directory),
        run / "cni" / "10-pods.conflist": _json(_cni(run)),
        run / "kubelet.yaml": yaml.safe_dump(_kubelet(run)),
        run / "Corefile": _corefile(run, upstream_dns),
    }
    for identity in ("admin", "kubelet", "controllers", "scheduler", "proxy", "dns"):
        files[run / f"{identity}.kubeconfig"] = pki.kubeconfig(run / "pki", identity)
    for path, text in files.items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_name(f".{path.name}.new")
            unfinished.touch(mode=0o600)
            unfinished.write_text(text)
            unfinished.rename(path)


def components(home: Home, *, containerd: str, masquerade_all: bool) -> Sequence[Component]:
    """All components in the order they are started. `containerd` is the path of that program."""
    run, keys = home.run, home.run / "pki"
    binary = str(home.bin / "kubernetes")

    def kubernetes(name: str, component: str, *flags: str, reads: tuple[Path, ...] = ()) -> Component:
        return Component(name=name, command=(binary, component, *flags), reads=(*reads, keys / "ca.crt"))

    client = f"unix://{run}/etcd.sock"
    unused = "http://localhost"  # must look like an address; no program uses it with a single member
    return (
        Component(
            name="containerd",
            command=(containerd, "--config", str(run / "containerd.toml")),
            reads=(run / "containerd.toml",),
        ),
        kubernetes(
            "etcd",
            "etcd",
            f"--data-dir={run}/etcd",
            # Sockets below a directory of ours: no port is used, and no other user can read the cluster's secrets.
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={unused}:2379",
            f"--listen-peer-urls=unix://{run}/etcd-peer.sock",
            f"--initial-advertise-peer-urls={unused}:2380",
            f"--initial-cluster=default={unused}:2380",
            "--log-level=warn",
            # Its data is deleted after a reboot, and a killed process loses nothing without fsync.
            "--unsafe-no-fsync",
        ),
        kubernetes(
            "apiserver",
            "kube-apiserver",
            f"--etcd-servers={client}",
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
        ),
        kubernetes(
            "kubelet",
            "kubelet",
            f"--config={run}/kubelet.yaml",
            f"--kubeconfig={run}/kubelet.kubeconfig",
            f"--hostname-override={NODE}",
            f"--root-dir={run}/kubelet",
            f"--cert-dir={run}/kubelet/pki",
            f"--node-ip={GATEWAY}",
            reads=(run / "kubelet.yaml",),
        ),
        kubernetes(
            "controllers",
            "kube-controller-manager",
            f"--kubeconfig={run}/controllers.kubeconfig",
            f"--service-account-private-key-file={keys}/sa.key",
            f"--root-ca-file={keys}/ca.crt",
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--profiling=false",
        ),
        kubernetes(
            "scheduler",
            "kube-scheduler",
            f"--kubeconfig={run}/scheduler.kubeconfig",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--profiling=false",
        ),
        kubernetes(
            "proxy",
            "kube-proxy",
            f"--kubeconfig={run}/proxy.kubeconfig",
            f"--hostname-override={NODE}",
            "--proxy-mode=iptables",
            f"--cluster-cidr={POD_SUBNET}",
            f"--masquerade-all={str(masquerade_all).lower()}",
            # A node port is for this machine, not for its neighbours; without loopback no kernel setting is changed.
            f"--nodeport-addresses={GATEWAY}/32",
            "--iptables-localhost-nodeports=false",
            # 0 leaves the kernel's connection tracking as it is; in a container it may not be changed at all.
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
            "--metrics-bind-address=127.0.0.1:10249",
            "--healthz-bind-address=127.0.0.1:10256",
        ),
        kubernetes("dns", "coredns", f"-conf={run}/Corefile", reads=(run / "Corefile",)),
    )


def has_upstream_dns(resolv: Path = Path("/etc/resolv.conf")) -> bool:
    """Whether the machine names a DNS server: CoreDNS does not start with nothing to forward to."""
    try:
        return any(line.split()[:1] == ["nameserver"] for line in resolv.read_text().splitlines())
    except OSError:
        return False


def _containerd(home: Home, cni_directory: Path) -> str:
    run = home.run
    return f"""\
version = 2
root = "{home.containerd}"
state = "{run}/containerd"
[grpc]
  address = "{run}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{run}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true # the machine may lack CAP_SYS_RESOURCE
  netns_mounts_under_state_dir = true # so that `down` finds them below the run directory
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "{run}/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_directory}"
    conf_dir = "{run}/cni"
"""


def _cni(run: Path) -> Document:
    ranges = [[{"subnet": POD_SUBNET, "gateway": GATEWAY}]]
    ipam = {
        "type": "host-local",
        "ranges": ranges,
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(run / "cni-leases"),
    }
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,  # a pod may reach itself through its own service
        "ipam": ipam,
    }
    port_map = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": CNI_NETWORK, "plugins": [bridge, port_map]}


def _kubelet(run: Path) -> Document:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": GATEWAY,
        "port": KUBELET_PORT,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{run}/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{run}/pki/kubelet.crt",
        "tlsPrivateKeyFile": f"{run}/pki/kubelet.key",
        "containerRuntimeEndpoint": f"unix://{run}/containerd.sock",
        "clusterDNS": [GATEWAY],
        "clusterDomain": "cluster.local",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "failCgroupV1": False,  # many machines, and this project's reference machine, still have it
        "failSwapOn": False,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        # Never delete images to free disk: most were built here and cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "featureGates": {"KubeletInUserNamespace": True},  # go on where kernel settings may not be written
        "volumePluginDir": f"{run}/volume-plugins",
        "podLogsDir": f"{run}/pod-logs",
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
