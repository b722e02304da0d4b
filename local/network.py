"""Sets up the bridges, links and routes of the nodes, and restores the machine."""

import contextlib
import ipaddress
import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from local import firewall
from local.files import write_text
from local.layout import BRIDGE, CNI_NETWORK, GATEWAY, LINKS, SERVICE_SUBNET, UPLINK
from local.namespace import MACHINE, Namespace, read_setting
from local.nodes import ALL_NODES, Node

CNI_RESULTS = Path("/var/lib/cni/results")  # the CNI library has no setting for it; one file a pod
BRIDGE_FILTER = "net/bridge/bridge-nf-call-iptables"
LAST_METRIC = "4096"  # a route that applies if the link's own route is gone

# What the kubelet, kube-proxy and the bridge plugin change.
SETTINGS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    BRIDGE_FILTER,
    "net/bridge/bridge-nf-call-ip6tables",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


@dataclass(frozen=True, kw_only=True)
class MachineState:
    """The state of the machine before the cluster changed it."""

    boot: str
    settings: dict[str, str]
    chains: dict[str, list[str]]  # family → its chains, as table/chain

    @classmethod
    def now(cls) -> "MachineState":
        """Reads the machine's state."""
        return cls(
            boot=boot_id(),
            settings={name: value for name in SETTINGS if (value := read_setting(name)) is not None},
            chains={
                family: sorted(f"{table}/{chain}" for table, chain in firewall.chains(family))
                for family in firewall.FAMILIES
            },
        )

    @classmethod
    def load(cls, path: Path) -> "MachineState | None":
        """What `save` wrote; None if there is no file."""
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None

    def save(self, path: Path) -> None:
        """Writes the state to a file."""
        write_text(path, json.dumps(asdict(self), indent=1))


def load_bridge_filter() -> None:
    """Loads the kernel module that passes bridged packets to the firewall, unless it is loaded or built in."""
    if read_setting(BRIDGE_FILTER) is None and shutil.which("modprobe"):
        MACHINE.run("modprobe", "br_netfilter", check=False)


def bridge_filter_works() -> bool:
    """Whether bridged packets pass the firewall.

    If they do not, the answer of a pod to another pod on the same bridge is not translated back to the Service's
    address, so kube-proxy has to masquerade all packets.
    """
    return read_setting(BRIDGE_FILTER) is not None


def boot_id() -> str:
    """An id that changes with every boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def set_up(node: Node, namespace: Namespace) -> None:
    """Makes a node's namespace, links, routes and bridge, and lets its pods' packets pass; skips what is done."""
    namespace.create()
    for name in ("net/ipv4/ip_forward", BRIDGE_FILTER):
        namespace.set(name, "1")
    if node.has_namespace:
        _connect(node, namespace)
    if not _links(namespace, "dev", BRIDGE):
        namespace.run("ip", "link", "add", BRIDGE, "type", "bridge")
    namespace.run("ip", "address", "replace", f"{node.address}/{node.subnet.partition('/')[2]}", "dev", BRIDGE)
    namespace.run("ip", "link", "set", BRIDGE, "up")
    firewall.let_pods_pass(namespace, node.address)


def cut_off(node: Node) -> None:
    """Takes the node's link down. Packets to the node are lost without an answer."""
    MACHINE.run("ip", "link", "set", node.link, "down")


def is_cut_off(node: Node) -> bool:
    """Whether the node's link is down."""
    return any("UP" not in link["flags"] for link in _links(MACHINE, "dev", node.link))


def unplug(node: Node, namespace: Namespace) -> None:
    """Removes the node's link and those of its pods, so that nothing that they send from now on arrives."""
    if node.has_namespace:
        MACHINE.run("ip", "link", "delete", node.link, check=False)
    for link in _links(namespace, "master", BRIDGE):
        namespace.run("ip", "link", "delete", link["ifname"], check=False)


def tear_down(original: MachineState | None) -> None:
    """Removes bridge, links, routes, rules and chains, and restores the settings.

    Args:
        original: the state before the cluster changed the machine; None if it changed nothing.
    """
    if original is None:
        return
    # The kernel takes seconds to remove the namespaces of nodes and pods that have ended, and the links in them.
    own_names = {BRIDGE, *(node.link for node in ALL_NODES)}
    for link in _links(MACHINE):
        if link.get("master") == BRIDGE or link["ifname"] in own_names:
            MACHINE.run("ip", "link", "delete", link["ifname"], check=False)
    for route in _routes():
        if _is_last(route):
            MACHINE.run("ip", "route", "delete", "blackhole", route["dst"], "metric", LAST_METRIC, check=False)
    for family in firewall.FAMILIES:
        firewall.remove_chains(family, set(original.chains.get(family, [])))
    with contextlib.suppress(FileNotFoundError):
        for result in list(CNI_RESULTS.glob(f"{CNI_NETWORK}-*-eth0")):
            sandbox = result.name.removeprefix(f"{CNI_NETWORK}-").removesuffix("-eth0")
            (CNI_RESULTS / f"cni-loopback-{sandbox}-lo").unlink(missing_ok=True)
            result.unlink()
    # A reboot has reset the settings, so older values must not overwrite them.
    if original.boot == boot_id():
        for name, value in original.settings.items():
            MACHINE.set(name, value)


def foreign_routes(nodes: Iterable[Node]) -> list[str]:
    """Routes of other programs that overlap the addresses of the nodes' pods or the Services."""
    ours = [ipaddress.ip_network(subnet) for subnet in (*(node.subnet for node in nodes), SERVICE_SUBNET)]
    routes = []
    for route in _routes():
        destination, device = route.get("dst", "default"), route.get("dev", "")
        is_ours = device.startswith(LINKS.removesuffix("+")) or _is_last(route)
        if destination == "default" or is_ours or route.get("table") == "local":
            continue
        if any(ipaddress.ip_network(destination, strict=False).overlaps(subnet) for subnet in ours):
            routes.append(f"{destination} dev {device}")
    return routes


def _connect(node: Node, namespace: Namespace) -> None:
    """Joins the node's namespace and the machine with a link. Both ends have the address of their side's bridge."""
    if not _links(MACHINE, "dev", node.link):
        peer = ("peer", "name", UPLINK, "netns", str(namespace.file))
        MACHINE.run("ip", "link", "add", node.link, "type", "veth", *peer)
    for side, device, address, destination, gateway in (
        (MACHINE, node.link, GATEWAY, node.subnet, node.address),
        (namespace, UPLINK, node.address, "default", GATEWAY),
    ):
        side.run("ip", "link", "set", "lo", "up")
        side.run("ip", "address", "replace", f"{address}/32", "dev", device)
        side.run("ip", "link", "set", device, "up")
        side.run("ip", "route", "replace", destination, "via", gateway, "dev", device, "onlink")
    # While the link is down or does not exist, the machine must not send the node's packets to its own default gateway.
    MACHINE.run("ip", "route", "replace", "blackhole", node.subnet, "metric", LAST_METRIC)


def _links(namespace: Namespace, *selector: str) -> list[dict[str, Any]]:
    """The links that `ip link show` selects. It prints empty objects for links that it leaves out."""
    links = json.loads(namespace.run("ip", "-j", "link", "show", *selector, check=False) or "[]")
    return [link for link in links if link]


def _routes() -> list[dict[str, Any]]:
    routes: list[dict[str, Any]] = json.loads(
        MACHINE.run("ip", "-j", "-4", "route", "show", "table", "all", check=False) or "[]"
    )
    return routes


def _is_last(route: dict[str, Any]) -> bool:
    """Whether it is the route of a node whose link is down."""
    return route.get("type") == "blackhole" and route.get("dst") in {node.subnet for node in ALL_NODES}
