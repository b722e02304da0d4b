"""Bridge, firewall and kernel settings: what the cluster changes on the machine, and how it is put back."""

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
CNI_RESULTS = Path("/var/lib/cni/results")  # fixed in the CNI library; one file a pod
BRIDGE_FILTER = "net/bridge/bridge-nf-call-iptables"

# What kubelet, kube-proxy and the bridge plugin set.
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
class Before:
    """The machine as it was before the cluster changed it."""

    boot: str
    settings: dict[str, str]
    chains: dict[str, list[str]]  # family → the chains (table/chain) that were there

    @classmethod
    def now(cls) -> "Before":
        """Looks at the machine."""
        return cls(
            boot=boot_id(),
            settings={name: value for name in SETTINGS if (value := _read_setting(name)) is not None},
            chains={family: sorted(f"{table}/{chain}" for table, chain in _chains(family)) for family in FAMILIES},
        )

    @classmethod
    def load(cls, path: Path) -> "Before | None":
        """What `save` wrote; None if it was never written (it is never half-written)."""
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None

    def save(self, path: Path) -> None:
        """Writes it whole or not at all."""
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(asdict(self), indent=1))
        unfinished.rename(path)


def load_bridge_filter() -> None:
    """Loads the kernel's module that shows bridged packets to the firewall, if it is a module and not loaded yet."""
    if _read_setting(BRIDGE_FILTER) is None and shutil.which("modprobe"):
        _run("modprobe", "br_netfilter", check=False)


def bridge_filter_works() -> bool:
    """Whether bridged packets pass the firewall.

    Where they do not, a pod's answer to another pod on the same bridge skips the translation of the service address,
    and kube-proxy has to masquerade everything instead.
    """
    return _read_setting(BRIDGE_FILTER) is not None


def boot_id() -> str:
    """Changes with every boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def set_up() -> None:
    """Forwarding on, the bridge up, pods let through: each only if it is not so already."""
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


def tear_down(previous: Before | None) -> None:
    """Bridge, links, rules and chains gone, settings as they were. Without `previous` there is nothing of ours."""
    if previous is None:
        return
    # The kernel takes seconds to remove the namespaces of ended pods with their links.
    for port in Path(f"/sys/class/net/{BRIDGE}/brif").glob("veth*"):
        _run("ip", "link", "delete", port.name, check=False)
    _run("ip", "link", "delete", BRIDGE, check=False)
    for family in FAMILIES:
        _remove_chains(family, set(previous.chains.get(family, [])))
    with contextlib.suppress(FileNotFoundError):
        for result in list(CNI_RESULTS.glob(f"{CNI_NETWORK}-*-eth0")):
            sandbox = result.name.removeprefix(f"{CNI_NETWORK}-").removesuffix("-eth0")
            (CNI_RESULTS / f"cni-loopback-{sandbox}-lo").unlink(missing_ok=True)
            result.unlink()
    # A setting that a reboot has reset already must not be "restored" to what it was before that.
    if previous.boot == boot_id():
        for name, value in previous.settings.items():
            if _read_setting(name) not in (None, value):
                (Path("/proc/sys") / name).write_text(value)


def foreign_routes() -> list[str]:
    """Routes of this machine (not ours) that overlap the pods' or the services' addresses."""
    ours = [ipaddress.ip_network(subnet) for subnet in (POD_SUBNET, SERVICE_SUBNET)]
    overlapping = []
    for route in json.loads(_run("ip", "-j", "-4", "route", "show", "table", "all", check=False) or "[]"):
        destination, device = route.get("dst", "default"), route.get("dev", "")
        if destination == "default" or device == BRIDGE or route.get("table") == "local":
            continue
        if any(ipaddress.ip_network(destination, strict=False).overlaps(subnet) for subnet in ours):
            overlapping.append(f"{destination} dev {device}")
    return overlapping


def foreign_chains() -> list[str]:
    """Chains of another Kubernetes; only meaningful while ours is not up."""
    return sorted({chain for _, chain in _chains("iptables") if chain.startswith("KUBE-SERVICES")})


def _own_rules() -> list[str]:
    """Some machines drop by default what comes in or is forwarded (ufw, Docker): pods need these ways.

    Each is inserted before the ones above it.
    """
    mark = f"-m comment --comment {MARK}"
    comment = f"{mark} -j ACCEPT"
    tcp = f"INPUT -i {BRIDGE} -d {GATEWAY} -p tcp -m multiport --dports {API_PORT},{KUBELET_PORT},{DNS_PORT}"
    return [
        f"{tcp} {comment}",
        f"INPUT -i {BRIDGE} -d {GATEWAY} -p udp --dport {DNS_PORT} {comment}",
        f"FORWARD -i {BRIDGE} {comment}",
        f"FORWARD -o {BRIDGE} {comment}",
        # kube-proxy gives a packet for a Service the address of a pod. While it rewrites its rules, a packet may pass
        # without one. It would leave this machine, and a host out there might answer and keep the connection.
        f"FORWARD -i {BRIDGE} -d {SERVICE_SUBNET} {mark} -j REJECT",
        f"OUTPUT -d {SERVICE_SUBNET} {mark} -j REJECT",
    ]


def _chains(family: str) -> list[tuple[str, str]]:
    return [(table, chain) for table, lines in _tables(family).items() for chain in _names(lines)]


def _names(lines: Iterable[str]) -> list[str]:
    return [line[1:].split()[0] for line in lines if line.startswith(":")]


def _tables(family: str) -> dict[str, list[str]]:
    """The lines of every table, as `iptables-save` prints them."""
    tables: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in _run(f"{family}-save", check=False).splitlines():
        if line.startswith("*"):
            lines = tables.setdefault(line[1:], [])
        elif line.startswith((":", "-A")):
            lines.append(line)
    return tables


def _remove_chains(family: str, kept: set[str]) -> None:
    """Removes the chains of Kubernetes and CNI, all rules that point to them, and our own rules."""
    changes: dict[str, list[str]] = {}
    for table, lines in _tables(family).items():
        ours = [chain for chain in _names(lines) if chain.startswith(CHAIN_PREFIXES) and f"{table}/{chain}" not in kept]
        rules = [line for line in lines if line.startswith("-A")]
        doomed = [
            rule
            for rule in rules
            if rule.split()[1] not in ours and (_target(rule) in ours or f"--comment {MARK}" in rule)
        ]
        if doomed or ours:
            changes[table] = [
                *(f"-D{rule[2:]}" for rule in doomed),
                *(f"-F {chain}" for chain in ours),  # all of them before the first -X: they point to each other
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
        return ""  # a fresh machine, before its packages: without the program there is nothing to find or to remove
    result = subprocess.run(command, input=stdin, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if check and result.returncode != 0:
        raise Failure(f"`{' '.join(command)}` failed: {result.stderr.strip()}")
    return result.stdout
