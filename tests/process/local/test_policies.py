"""The NetworkPolicies of a stack, enforced by the local cluster's program: each pair of pods is tried.

The kernel, the firewall and the API server are real; the pods are network namespaces with listening sockets.
"""

import os
import sys
from collections.abc import Iterator

import kubernetes
import pytest

from checks.network.matrix import Edge, declared_edges
from checks.network.sockets import Address, reached_from
from contracts.connections import Connection
from contracts.metadata import Manifest, selector
from local.firewall import queues_work
from local.layout import API_PORT
from stack.components.network.policies import Plan
from stack.polling import poll_until
from stack.settings import PROJECT, effective_config, parse
from stack.settings.network import network_plan
from tests.support import api_server
from tests.support.pod_network import NODE, PodNetwork, pod_network
from tests.support.program import dev_with

SECONDS = 2.5
SECTIONS = {"collector": {"sampling": {"ratio": 0.1}}, "cluster": {"context": "dev", "dns": {"ranges": [f"{NODE}/32"]}}}


@pytest.fixture(scope="module")
def plan() -> Plan:
    config = effective_config("dev") | {f"{PROJECT}:{key}": value for key, value in SECTIONS.items()}
    return network_plan(parse(config, "dev"))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> Iterator[PodNetwork]:
    """One pod of each component, in namespace `tracing`, with the policies of the stack; and one pod elsewhere.

    The policies are in force: as on any cluster, that takes a moment after they are created.
    """
    if sys.platform != "linux" or os.geteuid() != 0 or not queues_work():
        pytest.skip("needs root on Linux, and a kernel that can queue packets")
    directory = tmp_path_factory.mktemp("network")
    with api_server.running(directory) as api, pod_network(api, directory) as network:
        core, networking = kubernetes.client.CoreV1Api(api.client), kubernetes.client.NetworkingV1Api(api.client)
        for name in ("tracing", "elsewhere"):
            core.create_namespace({"metadata": {"name": name}})
        objects = dev_with(**SECTIONS)
        for (kind, _), item in objects.items():
            if kind == "NetworkPolicy":
                networking.create_namespaced_network_policy("tracing", item)
        for component in sorted(plan.components):
            network.add("tracing", component, selector(component), listened(objects, component, plan))
        network.add("elsewhere", "stranger", selector("gateway"), {"http": 8080})
        expected = declared(plan, network)
        poll_until("the policies to be in force", lambda: edges(network) <= expected, seconds=60)
        yield network


def listened(objects: dict[tuple[str, str], Manifest], component: str, plan: Plan) -> dict[str, int]:
    """Return the ports of the component's containers, those that others connect to, and one that is none of them."""
    workload = objects.get(("Deployment", component)) or objects["StatefulSet", component]
    spec = workload["spec"]["template"]["spec"]
    containers = [*spec["containers"], *spec.get("initContainers", [])]
    ports = {item["containerPort"] for part in containers for item in part.get("ports", [])}
    ports.update(port for item in plan.connections() if item.target == component for port in item.ports)
    return {f"p{port}": port for port in (*sorted(ports), 7999)}


def names(network: PodNetwork) -> dict[str, str]:
    """Address → name of a pod."""
    items = kubernetes.client.CoreV1Api(network.api.client).list_pod_for_all_namespaces().items
    return {item.status.pod_ip: item.metadata.name for item in items}


def ports_of(network: PodNetwork) -> dict[str, frozenset[int]]:
    items = kubernetes.client.CoreV1Api(network.api.client).list_pod_for_all_namespaces().items
    return {
        item.metadata.name: frozenset(port.container_port for port in item.spec.containers[0].ports) for item in items
    }


def edges(network: PodNetwork) -> set[Edge]:
    known, ports = names(network), ports_of(network)
    targets: list[Address] = [(address, port) for address, name in known.items() for port in ports[name]]
    answers = reached_from({known[address]: file for address, file in network.pods.items()}, targets, SECONDS)
    return {
        (caller, known[address], port)
        for caller, addresses in answers.items()
        for address, port in addresses
        if known[address] != caller
    }


def declared(plan: Plan, network: PodNetwork) -> set[Edge]:
    made: tuple[Connection, ...] = plan.connections()
    return {edge for edge in declared_edges(made, ports_of(network)) if edge[0] != edge[1]}


def test_each_pair_of_pods(stack: PodNetwork, plan: Plan) -> None:
    expected = declared(plan, stack)
    assert len(expected) > 30
    measured: set[Edge] = set()

    def are_made() -> bool:
        measured.update(edges(stack))
        return expected <= measured

    poll_until("the declared connections", are_made, seconds=30)
    assert measured - expected == set()


def test_a_pod_with_the_right_labels_in_another_namespace_reaches_nothing(stack: PodNetwork) -> None:
    assert not [edge for edge in edges(stack) if edge[0] == "stranger"]


def test_pods_reach_dns_on_the_node_and_no_other_port_of_it(stack: PodNetwork) -> None:
    known = names(stack)
    callers = {known[address]: file for address, file in stack.pods.items() if known[address] != "stranger"}
    answers = reached_from(callers, [(NODE, 53), (NODE, API_PORT), (NODE, 10250)], SECONDS)
    # Nothing listens there: an answer is a refusal by the node, behind the policies.
    assert {caller: sorted(addresses) for caller, addresses in answers.items()} == {
        caller: [(NODE, 53)] for caller in callers
    }


def test_the_crawler_alone_reaches_public_addresses(stack: PodNetwork) -> None:
    known = names(stack)
    private, public = ("169.254.169.254", "10.99.0.1", "192.168.7.1", "100.64.0.9"), "192.0.0.9"
    for address in (*private, public):
        stack.node.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    callers = {known[address]: file for address, file in stack.pods.items() if known[address] != "stranger"}
    answers = reached_from(callers, [(address, 80) for address in (*private, public)], SECONDS)
    assert {caller: addresses for caller, addresses in answers.items() if addresses} == {"web-crawler": {(public, 80)}}


def test_the_node_reaches_its_pods(stack: PodNetwork) -> None:
    """Probes and port-forwards come from there."""
    known, ports = names(stack), ports_of(stack)
    targets = {(address, port) for address, name in known.items() for port in ports[name]}
    assert stack.node.file
    assert reached_from({"node": stack.node.file}, targets, SECONDS) == {"node": targets}


def test_a_new_pod_is_subject_to_policies_from_its_first_packet(stack: PodNetwork) -> None:
    known = {name: address for address, name in names(stack).items()}
    address = stack.add("tracing", "gateway-2", selector("gateway"), {"http": 8080})
    answers = reached_from({"new": stack.pods[address]}, [(known["kafka"], 9092), (known["postgres"], 5432)], SECONDS)
    assert answers["new"] == {(known["kafka"], 9092)}


def test_without_its_program_nothing_new_passes(stack: PodNetwork) -> None:
    known = {name: address for address, name in names(stack).items()}
    target = (known["kafka"], 9092)
    caller = {"gateway": stack.pods[known["gateway"]]}
    assert reached_from(caller, [target], SECONDS)["gateway"] == {target}
    stack.program.kill()
    assert reached_from(caller, [target], SECONDS)["gateway"] == set()
    stack.program.start()
    assert reached_from(caller, [target], SECONDS)["gateway"] == {target}


def test_the_forms_of_a_rule(stack: PodNetwork) -> None:
    """Namespaces and labels together, ports by name and as a range."""
    core = kubernetes.client.CoreV1Api(stack.api.client)
    core.create_namespace({"metadata": {"name": "forms"}})
    target = stack.add("forms", "target", {"role": "target"}, {"http": 8080, "a": 9000, "b": 9005, "c": 9010})
    pods = (("elsewhere", "good"), ("elsewhere", "bad"), ("forms", "good"))
    callers = {
        f"{namespace}/{role}": stack.pods[stack.add(namespace, role, {"role": role}, {"http": 8080})]
        for namespace, role in pods
    }
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}},
        "podSelector": {"matchExpressions": [{"key": "role", "operator": "In", "values": ["good", "better"]}]},
    }
    ports = [{"port": "http"}, {"port": 9000, "endPort": 9005}]
    kubernetes.client.NetworkingV1Api(stack.api.client).create_namespaced_network_policy(
        "forms",
        {
            "metadata": {"name": "target"},
            "spec": {
                "podSelector": {"matchLabels": {"role": "target"}},
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [peer], "ports": ports}],
            },
        },
    )
    expected: dict[str, set[int]] = {"elsewhere/good": {8080, 9000, 9005}, "elsewhere/bad": set(), "forms/good": set()}

    def reached_ports() -> dict[str, set[int]]:
        answers = reached_from(callers, [(target, port) for port in (8080, 9000, 9005, 9010)], SECONDS)
        return {caller: {port for _, port in addresses} for caller, addresses in answers.items()}

    poll_until("the policy to be in force", lambda: reached_ports() == expected, seconds=30)
