"""The addresses, zones and files of the nodes."""

import ipaddress
import json
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from local import configuration, network, pki
from local.cluster import Cluster, NodeStatus
from local.components import node_components
from local.failure import Failure
from local.layout import BRIDGE, GATEWAY, LINKS, MAX_NODES, POD_RANGE, SERVICE_SUBNET, UPLINK
from local.namespace import MACHINE, Namespace
from local.nodes import ALL_NODES, CONTROL_PLANE, ZONES, Node, first_nodes, node_named
from local.paths import Home

LINK_LENGTH = 15
"""Characters that the kernel allows in the name of a link."""


def test_no_two_nodes_share_an_address() -> None:
    subnets = [ipaddress.IPv4Network(node.subnet) for node in ALL_NODES]
    assert len(subnets) == MAX_NODES
    assert not any(one.overlaps(other) for one, other in combinations(subnets, 2))
    assert not any(subnet.overlaps(ipaddress.IPv4Network(SERVICE_SUBNET)) for subnet in subnets)


@pytest.mark.parametrize("node", ALL_NODES, ids=lambda node: node.name)
def test_a_node_has_an_address_and_pods_within_the_range_of_the_cluster(node: Node) -> None:
    subnet = ipaddress.IPv4Network(node.subnet)
    assert subnet.subnet_of(ipaddress.IPv4Network(POD_RANGE))
    assert ipaddress.ip_address(node.address) in subnet


def test_the_control_plane_is_on_the_only_node_without_a_namespace_of_its_own() -> None:
    assert CONTROL_PLANE.address == GATEWAY
    assert [node for node in ALL_NODES if not node.has_namespace] == [CONTROL_PLANE]


def test_three_nodes_are_in_three_zones() -> None:
    assert {node.zone for node in first_nodes(3)} == set(ZONES)
    assert {node.zone for node in first_nodes(2)} < set(ZONES)


def test_the_firewall_matches_every_link_of_the_cluster() -> None:
    names = [BRIDGE, UPLINK, *(node.link for node in ALL_NODES)]
    assert all(name.startswith(LINKS.removesuffix("+")) for name in names)
    assert all(len(name) <= LINK_LENGTH for name in names)


def test_an_unknown_node_is_refused_with_those_that_exist() -> None:
    assert node_named("node2", first_nodes(2)) == Node(2)
    with pytest.raises(Failure, match=r"node3.*node1, node2"):
        node_named("node3", first_nodes(2))


def test_the_files_of_a_node_name_its_own_address_and_folder(tmp_path: Path) -> None:
    home, node = Home(root=tmp_path), Node(2)
    pki.create(home.run / "pki")
    configuration.write_node(home, node, cni_directory=Path("/usr/lib/cni"))
    directory = home.run / "node2"
    kubelet = yaml.safe_load((directory / "kubelet.yaml").read_text())
    assert (kubelet["address"], kubelet["healthzBindAddress"]) == ("10.244.1.1", "10.244.1.1")
    assert kubelet["clusterDNS"] == [GATEWAY]
    assert kubelet["cgroupRoot"] == f"/{home.cgroup}/node2"
    assert kubelet["containerRuntimeEndpoint"] == f"unix://{directory}/containerd.sock"
    assert kubelet["tlsCertFile"].endswith("kubelet-node2.crt")
    (bridge, _) = json.loads((directory / "cni" / "10-pods.conflist").read_text())["plugins"]
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24", "gateway": "10.244.1.1"}]]
    assert f'root = "{tmp_path}/containerd-2"' in (directory / "containerd.toml").read_text()


def test_no_two_nodes_share_a_file(tmp_path: Path) -> None:
    home = Home(root=tmp_path)
    pki.create(home.run / "pki")
    shared = {str(home.bin / "kubernetes"), f"--kubeconfig={home.run}/proxy.kubeconfig"}
    commands = []
    for node in first_nodes(2):
        configuration.write_node(home, node, cni_directory=Path("/usr/lib/cni"))
        made = node_components(home, node, containerd="containerd", masquerade_all=False, queues_work=True)
        commands.append({word for component in made for word in component.command if str(tmp_path) in word} - shared)
    assert commands[0] & commands[1] == set()


def test_a_kubelet_labels_its_node_with_the_zone(tmp_path: Path) -> None:
    (_, kubelet, *_) = node_components(
        Home(root=tmp_path), Node(3), containerd="containerd", masquerade_all=False, queues_work=True
    )
    assert "--node-labels=topology.kubernetes.io/zone=zone-c" in kubelet.command


def test_a_node_enforces_policies_if_its_firewall_can_queue_packets(tmp_path: Path) -> None:
    for queues_work in (True, False):
        made = node_components(
            Home(root=tmp_path), Node(2), containerd="containerd", masquerade_all=False, queues_work=queues_work
        )
        assert ("node2/policies" in [component.name for component in made]) == queues_work


def test_a_command_enters_the_namespace_of_its_node() -> None:
    assert Namespace(Path("/run/n")).enter("ip", "link") == ("nsenter", "--net=/run/n", "ip", "link")
    assert MACHINE.enter("ip", "link") == ("ip", "link")


def test_a_cluster_keeps_its_nodes_and_refuses_to_lose_one(tmp_path: Path) -> None:
    cluster = Cluster(Home(root=tmp_path))
    assert cluster.planned_nodes(None) == first_nodes(1)
    assert cluster.planned_nodes(3) == first_nodes(3)
    for node in first_nodes(2):
        cluster.home.node(node.name).mkdir(parents=True)
    assert cluster.planned_nodes(None) == first_nodes(2)
    assert cluster.planned_nodes(3) == first_nodes(3)
    with pytest.raises(Failure, match="make down"):
        cluster.planned_nodes(1)


@pytest.mark.parametrize("count", [0, MAX_NODES + 1])
def test_a_number_of_nodes_out_of_range_is_refused(count: int, tmp_path: Path) -> None:
    with pytest.raises(Failure, match=f"1 to {MAX_NODES}"):
        Cluster(Home(root=tmp_path)).planned_nodes(count)


@pytest.mark.parametrize(
    ("runs", "cut_off", "ready", "schedulable", "description"),
    [
        (True, False, True, True, "ready"),
        (False, False, False, True, "not ready, killed"),
        (False, False, True, True, "ready, killed"),  # the API server has not noticed yet
        (True, True, False, True, "not ready, cut off"),
        (True, False, True, False, "ready, cordoned"),
    ],
)
def test_the_state_of_a_node(runs: bool, cut_off: bool, ready: bool, schedulable: bool, description: str) -> None:
    status = NodeStatus(node=Node(2), runs=runs, cut_off=cut_off, ready=ready, schedulable=schedulable)
    assert status.description == description


def test_routes_of_the_cluster_are_not_foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "10.244.0.0/24", "dev": BRIDGE},
        {"dst": "10.244.1.0/24", "dev": Node(2).link},
        {"dst": "10.244.1.0/24", "type": "blackhole"},
        {"dst": "10.244.2.0/24", "dev": "tun0"},
    ]
    monkeypatch.setattr(network, "_routes", lambda: routes)
    assert network.foreign_routes(first_nodes(1)) == []
    assert network.foreign_routes(first_nodes(3)) == ["10.244.2.0/24 dev tun0"]
