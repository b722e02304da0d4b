"""Tries each pair of pods of the local stack, and what lies outside of it."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import kubernetes

from checks.network.matrix import Edge, Matrix, declared_edges, ordered
from checks.network.sockets import Address, listening, namespaces, reached, reached_from
from contracts.connections import COMPONENTS, INTERNET
from contracts.metadata import PART_OF
from local.layout import API_PORT, DNS_PORT, GATEWAY, KUBELET_PORT
from local.namespace import MACHINE
from local.paths import Home
from stack.errors import DeployError
from stack.kubernetes.client import REQUEST_SECONDS, connect
from stack.settings import Settings
from stack.settings.network import network_plan

SECONDS: Final = 2.5
"""Limit of a connection. A second attempt follows 1 s after a packet that was dropped, so it is in the limit too."""
_ATTEMPTS: Final = 3
"""A declared connection fails only if it fails this often: a busy machine may need longer than the limit."""
PUBLIC: Final = "192.0.0.10"
"""Stands for the internet: for the time of the check, the machine has this address, which is public by its registry and
belongs to no site."""
LINK_LOCAL: Final = "169.254.169.254"
"""Where clouds serve the rights of a machine."""
_LISTENER_PORT: Final = 18999


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A running pod of the stack."""

    component: str
    name: str
    address: str
    namespace: Path
    ports: frozenset[int]


def pods(settings: Settings, home: Home) -> list[Pod]:
    """Return the running pods of the stack on the local cluster.

    Raises:
        DeployError: none runs.
    """
    core = kubernetes.client.CoreV1Api(connect(settings.cluster))
    items = core.list_namespaced_pod(
        settings.cluster.namespace,
        label_selector=f"app.kubernetes.io/part-of={PART_OF}",
        _request_timeout=REQUEST_SECONDS,
    ).items
    files = namespaces(home)
    running = [
        Pod(
            component=item.metadata.labels["app.kubernetes.io/name"],
            name=item.metadata.name,
            address=item.status.pod_ip,
            namespace=files[item.status.pod_ip],
            ports=frozenset(listening(files[item.status.pod_ip])),
        )
        for item in items
        if item.status.phase == "Running"
        and item.metadata.deletion_timestamp is None
        and item.status.pod_ip in files
        and item.metadata.labels["app.kubernetes.io/name"] in COMPONENTS
    ]
    if not running:
        raise DeployError(f"no pod of namespace {settings.cluster.namespace} runs on this machine")
    return running


def measure(settings: Settings, home: Home) -> Matrix:
    """Try each port of each pod from each other pod."""
    made = network_plan(settings).connections()
    running = pods(settings, home)
    ports: dict[str, frozenset[int]] = defaultdict(frozenset)
    for pod in running:
        ports[pod.component] |= pod.ports
    declared = declared_edges(made, ports)
    measured: set[Edge] = set()
    for _ in range(_ATTEMPTS):
        measured |= _edges(running)
        if declared <= measured:
            break
    # A pod's packets to its own address do not leave it.
    alone = {pod.component for pod in running if sum(other.component == pod.component for other in running) == 1}
    declared = frozenset(edge for edge in declared if not (edge[0] == edge[1] and edge[0] in alone))
    return Matrix(
        names=ordered(ports),
        ports=ports,
        declared=declared,
        measured=frozenset(measured),
        pairs=len(running) * (len(running) - 1),
        attempts=sum(len(pod.ports) for pod in running) * (len(running) - 1),
    )


def _edges(running: list[Pod]) -> set[Edge]:
    """Return what each pod reaches of each other pod."""
    targets = {(pod.address, port): pod for pod in running for port in pod.ports}
    by_name = {pod.name: pod for pod in running}
    answers = reached_from({pod.name: pod.namespace for pod in running}, targets, SECONDS)
    return {
        (by_name[name].component, targets[address].component, address[1])
        for name, addresses in answers.items()
        for address in addresses
        if targets[address].name != name
    }


def unreachable_from_the_machine(running: list[Pod]) -> set[Address]:
    """Return the ports of pods that do not answer this machine, whose packets no policy concerns."""
    requested = {(pod.address, port) for pod in running for port in pod.ports}
    return requested - reached(requested, SECONDS)


def outside(running: list[Pod]) -> dict[str, set[str]]:
    """Try what is outside of the namespace, from each component.

    Returns:
        Component → what it reaches: `internet`, `link-local`, `api-server`, `kubelet`, `dns`.
    """
    with _listener(PUBLIC), _listener(LINK_LOCAL):
        requested = {
            (PUBLIC, _LISTENER_PORT): INTERNET,
            (LINK_LOCAL, _LISTENER_PORT): "link-local",
            (GATEWAY, API_PORT): "api-server",
            (GATEWAY, KUBELET_PORT): "kubelet",
            (GATEWAY, DNS_PORT): "dns",
        }
        answers = reached_from({pod.name: pod.namespace for pod in running}, requested, SECONDS)
    result: dict[str, set[str]] = defaultdict(set)
    for pod in running:
        result[pod.component] |= {requested[address] for address in answers[pod.name]}
    return dict(result)


@contextlib.contextmanager
def _listener(address: str) -> Iterator[None]:
    """Give this machine an address. It answers connections there with a refusal, which tells that they arrived."""
    MACHINE.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    try:
        yield
    finally:
        MACHINE.run("ip", "address", "delete", f"{address}/32", "dev", "lo", check=False)
