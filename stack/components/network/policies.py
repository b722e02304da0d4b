"""The NetworkPolicies of a stack: a pure function of its connections."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from contracts.connections import (
    CLIENTS,
    CLOUDNATIVEPG,
    COMPONENTS,
    INTERNET,
    OUTSIDE_CALLERS,
    Connection,
    connections,
)
from contracts.endpoints import POSTGRES
from contracts.metadata import selector
from service.crawler.addresses import NOT_PUBLIC, NOT_PUBLIC_6, PUBLIC_6, PUBLIC_EXCEPTIONS, PUBLIC_EXCEPTIONS_6
from stack.components.network.settings import Callers
from stack.kubernetes.settings import Dns

Rule = dict[str, Any]
"""A rule of a NetworkPolicy, as JSON has it."""

DENY_ALL: Final = "deny-by-default"
_NAMESPACE: Final = "kubernetes.io/metadata.name"
"""Label that Kubernetes gives each namespace."""
_ANYWHERE_IN_THE_CLUSTER: Final[Rule] = {"namespaceSelector": {}}
_CLOUDNATIVEPG_LABELS: Final = {"cnpg.io/cluster": POSTGRES}


@dataclass(frozen=True, kw_only=True)
class Outside:
    """A target outside of the namespace."""

    namespaces: tuple[str, ...] = ()
    """The target is a Service there; the ports of its pods are not known."""
    ranges: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    """Of the target in `ranges`; all if empty."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the policies of a stack depend on."""

    components: frozenset[str]
    """The components that have pods."""
    callers: Mapping[str, Callers | None]
    """End outside of the namespace → who it is; None for everyone."""
    targets: Mapping[str, Outside]
    """End outside of the namespace → where it is."""
    dns: Dns
    cluster_ranges: tuple[str, ...] = ()
    """Public addresses that belong to the cluster."""
    settings: frozenset[str] = field(default_factory=frozenset)
    """Settings on which connections depend, and that are on."""
    open_to_all: frozenset[str] = field(default_factory=frozenset)
    """Components that `ingress` opens."""

    def connections(self) -> tuple[Connection, ...]:
        """The connections of the stack."""
        made = connections(frozenset({*self.components, *self.callers, *self.targets, *self.settings, INTERNET}))
        return tuple(item for item in made if item.caller != CLIENTS or item.target in self.open_to_all)


def pod_labels(component: str) -> dict[str, str]:
    """Return labels that the pods of a component have, and no others."""
    return _CLOUDNATIVEPG_LABELS if component == CLOUDNATIVEPG else selector(component)


def policies(plan: Plan) -> dict[str, Rule]:
    """Return name → specification of each NetworkPolicy: one that denies all, and one for each component."""
    made = plan.connections()
    specifications: dict[str, Rule] = {DENY_ALL: {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}
    for component in (item for item in COMPONENTS if item in plan.components):
        ingress = _ingress(plan, [item for item in made if item.target == component])
        specifications[component] = {
            "podSelector": {"matchLabels": pod_labels(component)},
            "policyTypes": ["Ingress", "Egress"],
            # The API server stores no empty list, so each deployment would change the object.
            **({"ingress": ingress} if ingress else {}),
            "egress": [_dns(plan.dns), *_egress(plan, [item for item in made if item.caller == component])],
        }
    return specifications


def _ingress(plan: Plan, made: Sequence[Connection]) -> list[Rule]:
    """Return one rule for each set of ports, with all who may reach them."""
    rules: list[Rule] = []
    for (ports, protocols), group in _by_ports(made).items():
        callers = [_callers(plan, connection.caller) for connection in group]
        if peers := [peer for peers in callers if peers is not None for peer in peers]:
            rules.append({"from": peers, "ports": _ports(ports, protocols)})
        if None in callers:
            rules.append({"ports": _ports(ports, protocols)})
    return rules


def _callers(plan: Plan, caller: str) -> list[Rule] | None:
    """Return who a caller is; None if it may be everyone."""
    if caller not in OUTSIDE_CALLERS:
        return [_pods(caller)]
    callers = plan.callers[caller]
    if callers is None:
        return None
    if not callers.namespaces and not callers.ranges:
        return [_ANYWHERE_IN_THE_CLUSTER]
    return [*map(_namespace, callers.namespaces), *({"ipBlock": {"cidr": item}} for item in callers.ranges)]


def _egress(plan: Plan, made: Sequence[Connection]) -> list[Rule]:
    inside = [item for item in made if item.target in plan.components]
    rules: list[Rule] = [
        {"to": [_pods(item.target) for item in group], "ports": _ports(ports, protocols)}
        for (ports, protocols), group in _by_ports(inside).items()
    ]
    for connection in made:
        if connection.target == INTERNET:
            rules.append(_internet(plan.cluster_ranges))
        elif connection.target in plan.targets:
            rules += _outside(plan.targets[connection.target])
    return [rule for number, rule in enumerate(rules) if rule not in rules[:number]]


def _outside(target: Outside) -> list[Rule]:
    rules: list[Rule] = []
    if target.namespaces:
        rules.append({"to": [_namespace(name) for name in target.namespaces]})
    if target.ranges:
        ports = {"ports": _ports(target.ports, ("TCP",))} if target.ports else {}
        rules.append({"to": [{"ipBlock": {"cidr": item}} for item in target.ranges], **ports})
    return rules


def _internet(cluster_ranges: Iterable[str]) -> Rule:
    """Return a rule for public addresses alone: those to which the crawler itself connects."""
    ranges = list(cluster_ranges)
    blocks: list[Rule] = [
        {"cidr": "0.0.0.0/0", "except": [*map(str, NOT_PUBLIC), *(item for item in ranges if "." in item)]},
        {"cidr": str(PUBLIC_6), "except": [*map(str, NOT_PUBLIC_6), *(item for item in ranges if ":" in item)]},
    ]
    blocks += [{"cidr": str(block)} for block in (*PUBLIC_EXCEPTIONS, *PUBLIC_EXCEPTIONS_6)]
    return {"to": [{"ipBlock": block} for block in blocks]}


def _dns(dns: Dns) -> Rule:
    peers = [*map(_namespace, dns.namespaces), *({"ipBlock": {"cidr": item}} for item in dns.ranges)]
    return {"to": peers, "ports": _ports(dns.ports, ("UDP", "TCP"))}


def _by_ports(made: Iterable[Connection]) -> dict[tuple[tuple[int, ...], tuple[str, ...]], list[Connection]]:
    groups: dict[tuple[tuple[int, ...], tuple[str, ...]], list[Connection]] = defaultdict(list)
    for connection in made:
        groups[connection.ports, connection.protocols].append(connection)
    return groups


def _ports(numbers: Iterable[int], protocols: Iterable[str]) -> list[Rule]:
    return [{"port": number, "protocol": protocol} for number in numbers for protocol in protocols]


def _pods(component: str) -> Rule:
    return {"podSelector": {"matchLabels": pod_labels(component)}}


def _namespace(name: str) -> Rule:
    return {"namespaceSelector": {"matchLabels": {_NAMESPACE: name}}}
