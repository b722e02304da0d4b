"""Sets up the bridge, the firewall and the kernel settings of the cluster, and restores the machine."""

import contextlib
import ipaddress
import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from local.failure import Failure
from local.files import write_text
from local.layout import (
    API_PORT,
    BRIDGE,
    CNI_NETWORK,
    DNS_PORT,
    GATEWAY,
    KUBELET_PORT,
    MARK,
    POD_SUBNET,
    SERVICE_SUBNET,
)

FAMILIES = ("iptables", "ip6tables")
CHAIN_PREFIXES = ("KUBE-", "CNI-")
CNI_RESULTS = Path("/var/lib/cni/results")  # the CNI library has no setting for it; one file a pod
BRIDGE_FILTER = "net/bridge/bridge-nf-call-iptables"

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
            settings={name: value for name in SETTINGS if (value := _read_setting(name)) is not None},
            chains={family: sorted(f"{table}/{chain}" for table, chain in _chains(family)) for family in FAMILIES},
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
    if _read_setting(BRIDGE_FILTER) is None and shutil.which("modprobe"):
        _run("modprobe", "br_netfilter", check=False)


def bridge_filter_works() -> bool:
    """Whether bridged packets pass the firewall.

    If they do not, the answer of a pod to another pod on the same bridge is not translated back to the Service's
    address, so kube-proxy has to masquerade all packets.
    """
    return _read_setting(BRIDGE_FILTER) is not None


def boot_id() -> str:
    """An id that changes with every boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def set_up() -> None:
    """Turns forwarding on, adds the bridge, and lets the packets of pods pass. Steps that are done are skipped."""
    for name in ("net/ipv4/ip_forward", BRIDGE_FILTER):
        if _read_setting(name) == "0":
            (Path("/proc/sys") / name).write_text("1")
    if not Path(f"/sys/class/net/{BRIDGE}").exists():
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
    addresses = json.loads(_run("ip", "-j", "address", "show", "dev", BRIDGE))
    if not any(entry.get("local") == GATEWAY for link in addresses for entry in link.get("addr_info", [])):
        _run("ip", "address", "add", f"{GATEWAY}/{POD_SUBNET.partition('/')[2]}", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")
    existing = _run("iptables-save", "-t", "filter")
    if MARK not in existing:
        _restore("iptables", {"filter": [f"-I {rule}" for rule in _own_rules()]})


def tear_down(original: MachineState | None) -> None:
    """Removes bridge, links, rules and chains, and restores the settings.

    Args:
        original: the state before the cluster changed the machine; None if it changed nothing.
    """
    if original is None:
        return
    # The kernel takes seconds to remove the namespaces of pods that have ended, and the links in them.
    for port in Path(f"/sys/class/net/{BRIDGE}/brif").glob("veth*"):
        _run("ip", "link", "delete", port.name, check=False)
    _run("ip", "link", "delete", BRIDGE, check=False)
    for family in FAMILIES:
        _remove_chains(family, set(original.chains.get(family, [])))
    with contextlib.suppress(FileNotFoundError):
        for result in list(CNI_RESULTS.glob(f"{CNI_NETWORK}-*-eth0")):
            sandbox = result.name.removeprefix(f"{CNI_NETWORK}-").removesuffix("-eth0")
            (CNI_RESULTS / f"cni-loopback-{sandbox}-lo").unlink(missing_ok=True)
            result.unlink()
    # A reboot has reset the settings, so older values must not overwrite them.
    if original.boot == boot_id():
        for name, value in original.settings.items():
            if _read_setting(name) not in (None, value):
                (Path("/proc/sys") / name).write_text(value)


def foreign_routes() -> list[str]:
    """Routes of other programs that overlap the addresses of the pods or the Services."""
    ours = [ipaddress.ip_network(subnet) for subnet in (POD_SUBNET, SERVICE_SUBNET)]
    routes = []
    for route in json.loads(_run("ip", "-j", "-4", "route", "show", "table", "all", check=False) or "[]"):
        destination, device = route.get("dst", "default"), route.get("dev", "")
        if destination == "default" or device == BRIDGE or route.get("table") == "local":
            continue
        if any(ipaddress.ip_network(destination, strict=False).overlaps(subnet) for subnet in ours):
            routes.append(f"{destination} dev {device}")
    return routes


def foreign_chains() -> list[str]:
    """Chains of another Kubernetes. The result is correct while this cluster is down."""
    return sorted({chain for _, chain in _chains("iptables") if chain.startswith("KUBE-SERVICES")})


def _own_rules() -> list[str]:
    """Rules that let the packets of pods pass: firewalls like ufw and Docker's drop packets by default.

    Each rule is inserted before the rules above it.
    """
    mark = f"-m comment --comment {MARK}"
    comment = f"{mark} -j ACCEPT"
    tcp = f"INPUT -i {BRIDGE} -d {GATEWAY} -p tcp -m multiport --dports {API_PORT},{KUBELET_PORT},{DNS_PORT}"
    return [
        f"{tcp} {comment}",
        f"INPUT -i {BRIDGE} -d {GATEWAY} -p udp --dport {DNS_PORT} {comment}",
        f"FORWARD -i {BRIDGE} {comment}",
        f"FORWARD -o {BRIDGE} {comment}",
        # kube-proxy replaces the address of a Service with that of a pod. While it rewrites its rules, a packet may
        # keep the Service's address. It would leave this machine, and a host that answers would get the connection.
        f"FORWARD -i {BRIDGE} -d {SERVICE_SUBNET} {mark} -j REJECT",
        f"OUTPUT -d {SERVICE_SUBNET} {mark} -j REJECT",
    ]


def _chains(family: str) -> list[tuple[str, str]]:
    return [(table, chain) for table, lines in _tables(family).items() for chain in _names(lines)]


def _names(lines: Iterable[str]) -> list[str]:
    return [line[1:].split()[0] for line in lines if line.startswith(":")]


def _tables(family: str) -> dict[str, list[str]]:
    """Table → its lines, as `iptables-save` prints them."""
    tables: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in _run(f"{family}-save", check=False).splitlines():
        if line.startswith("*"):
            lines = tables.setdefault(line[1:], [])
        elif line.startswith((":", "-A")):
            lines.append(line)
    return tables


def _remove_chains(family: str, keep: set[str]) -> None:
    """Removes the chains of Kubernetes and CNI, the rules that jump to them, and this program's own rules.

    Args:
        family: `iptables` or `ip6tables`.
        keep: chains of another program, as table/chain.
    """
    changes: dict[str, list[str]] = {}
    for table, lines in _tables(family).items():
        ours = [chain for chain in _names(lines) if chain.startswith(CHAIN_PREFIXES) and f"{table}/{chain}" not in keep]
        rules = [line for line in lines if line.startswith("-A")]
        obsolete = [
            rule
            for rule in rules
            if rule.split()[1] not in ours and (_target(rule) in ours or f"--comment {MARK}" in rule)
        ]
        if obsolete or ours:
            changes[table] = [
                *(f"-D{rule[2:]}" for rule in obsolete),
                *(f"-F {chain}" for chain in ours),  # all of them before the first -X, since they jump to each other
                *(f"-X {chain}" for chain in ours),
            ]
    if changes:
        _restore(family, changes)


def _target(rule: str) -> str:
    words = rule.split()
    for flag in ("-j", "-g"):
        if flag in words:
            return words[words.index(flag) + 1]
    return ""


def _restore(family: str, changes: dict[str, list[str]]) -> None:
    text = "".join(
        f"*{table}\n" + "".join(f"{line}\n" for line in lines) + "COMMIT\n" for table, lines in changes.items()
    )
    _run(f"{family}-restore", "--noflush", "--wait", stdin=text)


def _read_setting(name: str) -> str | None:
    try:
        return (Path("/proc/sys") / name).read_text().strip()
    except OSError:  # the module is not loaded, or the kernel lacks it
        return None


def _run(*command: str, stdin: str = "", check: bool = True) -> str:
    if not check and shutil.which(command[0]) is None:
        return ""  # without the program, the machine has nothing of its kind to list or to remove
    result = subprocess.run(command, input=stdin, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if check and result.returncode != 0:
        raise Failure(f"`{' '.join(command)}` failed: {result.stderr.strip()}")
    return result.stdout
