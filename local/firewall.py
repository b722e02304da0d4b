"""The cluster's firewall rules: those of its own, and those that Kubernetes and CNI leave behind."""

import os
from collections.abc import Iterable
from functools import cache

from local.failure import Failure
from local.layout import (
    API_PORT,
    BRIDGE,
    DNS_PORT,
    KUBELET_PORT,
    LINKS,
    MARK,
    POD_RANGE,
    POLICY_QUEUE,
    SERVICE_SUBNET,
)
from local.namespace import MACHINE, Namespace

FAMILIES = ("iptables", "ip6tables")
CHAIN_PREFIXES = ("KUBE-", "CNI-")


def let_pods_pass(namespace: Namespace, address: str) -> None:
    """Inserts the cluster's own rules, unless they are there.

    Args:
        namespace: where the rules apply.
        address: of the node whose namespace it is.
    """
    for table, rules in {**_own_rules(address), **(_queue_rules() if queues_work() else {})}.items():
        if MARK not in namespace.run("iptables-save", "-t", table):
            _restore(namespace, "iptables", {table: [f"-I {rule}" for rule in rules]})


@cache
def queues_work() -> bool:
    """Whether the firewall can queue packets for a program: tries it with a chain that no packet passes."""
    chain = f"probe{os.getpid() % 100000}"
    queue = f"-A {chain} -m conntrack --ctstate NEW -j NFQUEUE --queue-num {POLICY_QUEUE}"
    try:
        _restore(MACHINE, "iptables", {"mangle": [f"-N {chain}", queue]})
        _restore(MACHINE, "iptables", {"mangle": [f"-F {chain}", f"-X {chain}"]})
    except (Failure, OSError):  # the kernel lacks it, or the program is not installed yet
        return False
    return True


def chains(family: str) -> list[tuple[str, str]]:
    """The machine's chains, each as (table, chain)."""
    return [(table, chain) for table, lines in _tables(family).items() for chain in _names(lines)]


def foreign_chains() -> list[str]:
    """Chains of another Kubernetes. The result is correct while this cluster is down."""
    return sorted({chain for _, chain in chains("iptables") if chain.startswith("KUBE-SERVICES")})


def remove_chains(family: str, keep: set[str]) -> None:
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
        _restore(MACHINE, family, changes)


def _own_rules(address: str) -> dict[str, list[str]]:
    """Table → rules that let the packets of pods pass: firewalls like ufw and Docker's drop packets by default.

    Each rule is inserted before the rules above it.
    """
    mark = f"-m comment --comment {MARK}"
    accept = f"{mark} -j ACCEPT"
    tcp = f"INPUT -i {LINKS} -d {address} -p tcp -m multiport --dports {API_PORT},{KUBELET_PORT},{DNS_PORT}"
    return {
        "filter": [
            f"{tcp} {accept}",
            f"INPUT -i {LINKS} -d {address} -p udp --dport {DNS_PORT} {accept}",
            f"FORWARD -i {LINKS} {accept}",
            f"FORWARD -o {LINKS} {accept}",
            # kube-proxy replaces the address of a Service with that of a pod. While it rewrites its rules, a packet may
            # keep the Service's address. It would leave this machine, and a host that answers would get the connection.
            f"FORWARD -i {LINKS} -d {SERVICE_SUBNET} {mark} -j REJECT",
            f"OUTPUT -d {SERVICE_SUBNET} {mark} -j REJECT",
        ],
        # A pod's packet that leaves the cluster gets this machine's address, since nothing else routes to pods.
        "nat": [f"POSTROUTING -s {POD_RANGE} ! -o {LINKS} -m addrtype ! --src-type LOCAL {mark} -j MASQUERADE"],
    }


def _queue_rules() -> dict[str, list[str]]:
    """Table → rules that queue the first packet of each connection of a node's pods, for the NetworkPolicies.

    The table comes before `filter`, whose rules apply to what the policies allow. Packets between other nodes are left
    alone: they pass the queues of their own nodes, and node1 may be down.
    """
    queue = f"-m conntrack --ctstate NEW -m comment --comment {MARK} -j NFQUEUE --queue-num {POLICY_QUEUE}"
    return {
        "mangle": [
            # A packet with the address of a Service has no pod to go to; `filter` refuses it.
            f"FORWARD -i {BRIDGE} ! -d {SERVICE_SUBNET} {queue}",
            f"FORWARD -o {BRIDGE} ! -i {BRIDGE} {queue}",
            f"INPUT -i {BRIDGE} {queue}",
        ]
    }


def _names(lines: Iterable[str]) -> list[str]:
    return [line[1:].split()[0] for line in lines if line.startswith(":")]


def _tables(family: str) -> dict[str, list[str]]:
    """Table → its lines, as `iptables-save` prints them."""
    tables: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in MACHINE.run(f"{family}-save", check=False).splitlines():
        if line.startswith("*"):
            lines = tables.setdefault(line[1:], [])
        elif line.startswith((":", "-A")):
            lines.append(line)
    return tables


def _target(rule: str) -> str:
    words = rule.split()
    for flag in ("-j", "-g"):
        if flag in words:
            return words[words.index(flag) + 1]
    return ""


def _restore(namespace: Namespace, family: str, changes: dict[str, list[str]]) -> None:
    text = "".join(
        f"*{table}\n" + "".join(f"{line}\n" for line in lines) + "COMMIT\n" for table, lines in changes.items()
    )
    namespace.run(f"{family}-restore", "--noflush", "--wait", stdin=text)
