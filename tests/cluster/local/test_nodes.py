"""Three nodes: their pods reach each other; a node is killed, cut off and drained, and comes back with its volumes."""

import contextlib
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import pytest

from checks.network.sockets import namespaces, reached_from
from local import processes
from local.api import Api
from local.build import cluster_jobs
from local.cgroups import ControlGroup
from local.cluster import Cluster
from local.failure import Failure
from local.firewall import queues_work
from local.jobs import Progress, run_jobs
from local.nodes import first_nodes
from local.paths import HOME_VARIABLE, Home
from stack.polling import poll_until
from tests.support.own_cluster import ROOT, WORKLOADS, kubectl, load_probe, machine

NODES = ("node1", "node2", "node3")
WARM_START = 20.0
"""Seconds."""
NOTICE_LIMIT = 90
"""Seconds; the controller manager waits for 50 s for a node's lease."""
CONNECT_LIMIT = 2.5
"""Seconds."""
KEEPERS_POLICY = "/apis/networking.k8s.io/v1/namespaces/probe/networkpolicies/keepers"


@dataclass
class Lab:
    """A cluster of three nodes that runs the workloads of nodes.yaml."""

    home: Home
    cluster: Cluster
    progress: Progress
    untouched: dict[str, list[str]]

    def pods(self, app: str) -> Mapping[str, str]:
        """Node → address of its ready pod; pods that are being deleted do not count."""
        answer = self.get(f"/api/v1/namespaces/probe/pods?labelSelector=app%3D{app}")
        return {
            pod["spec"]["nodeName"]: pod["status"]["podIP"]
            for pod in answer["items"]
            if "deletionTimestamp" not in pod["metadata"]
            and any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in pod["status"].get("conditions", [])
            )
        }

    def ready(self, app: str) -> int:
        """Ready pods of a Deployment."""
        status = self.get(f"/apis/apps/v1/namespaces/probe/deployments/{app}")["status"]
        return int(status.get("readyReplicas", 0))

    def get(self, path: str) -> dict[str, Any]:
        """An object of the API server."""
        status, answer = Api(self.home.run / "pki").call("GET", path)
        assert status == 200, answer
        return answer

    def state(self, node: str) -> str:
        """What `wct cluster node list` prints about a node."""
        return next(status.description for status in self.cluster.node_status() if status.node.name == node)

    def wait_for_keepers(self) -> None:
        """Waits until each node has its pod with a volume."""
        poll_until("a keeper on each node", lambda: set(self.pods("keeper")) == set(NODES), seconds=90)


@pytest.fixture
def lab(home: Home) -> Lab:
    untouched = machine()
    cluster, progress = Cluster(home), Progress("test", logs=home.logs)
    run_jobs(cluster_jobs(home, 3), logs=home.logs)
    load_probe(cluster, progress, home)
    kubectl(home, "apply", "-f", str(WORKLOADS / "nodes.yaml"))
    lab = Lab(home=home, cluster=cluster, progress=progress, untouched=untouched)
    lab.wait_for_keepers()
    poll_until("a mobile pod on each node", lambda: set(lab.pods("mobile")) == set(NODES), seconds=90)
    return lab


def reaches(caller: str, target: str) -> bool:
    """Returns whether a pod gets the answer of a pod or a Service."""
    return str(call(caller, f"/call?host={target}")).endswith("kept")


def test_three_nodes(lab: Lab) -> None:
    # Each pod reaches the pods of all nodes, and a Service by its name.
    for caller in lab.pods("mobile").values():
        for target in (*lab.pods("keeper").values(), *lab.pods("mobile").values(), "keeper", "mobile"):
            # A node learns the addresses behind a Service a moment after their pods are ready.
            poll_until(f"{caller} to reach {target}", partial(reaches, caller, target), seconds=30)

    # Each node enforces the policies of its pods: the pairs include those of one node, which no other node sees.
    if queues_work():
        api = Api(lab.home.run / "pki")
        assert pairs(lab) == set(product(NODES, NODES))
        api.apply(KEEPERS_POLICY, keepers_alone())
        poll_until("no mobile pod to reach a keeper", lambda: not pairs(lab), seconds=30)
        assert api.call("DELETE", KEEPERS_POLICY)[0] == 200
        poll_until("all of them to reach all keepers", lambda: pairs(lab) == set(product(NODES, NODES)), seconds=30)

    # A killed node has no process, no control group and no network; the others do not notice.
    lab.cluster.kill_node(lab.progress, "node2")
    assert [process for process in processes.find(lab.home.run) if process.component.startswith("node2/")] == []
    assert "killed" in lab.state("node2")
    others = [address for node, address in lab.pods("mobile").items() if node != "node2"]
    assert all(call(address, f"/call?host={others[0]}") for address in others)
    lab.cluster.start_node(lab.progress, "node2")
    assert lab.state("node2") == "ready"

    # Nothing is left of the nodes, and all three come back fast.
    lab.cluster.down(lab.progress)
    assert machine() == lab.untouched
    began = time.monotonic()
    lab.cluster.up(lab.progress, 3)
    assert time.monotonic() - began < WARM_START
    assert lab.cluster.nodes() == first_nodes(3)
    lab.cluster.down(lab.progress)
    assert machine() == lab.untouched


@pytest.mark.nightly
def test_a_node_is_lost_and_comes_back(lab: Lab) -> None:
    for node, volume in volumes(lab).items():
        (lab.home.node(node) / "volumes" / volume / "kept").write_text(f"of {node}")

    # Killed: noticed, its pods are placed elsewhere, and the pod with a volume waits for its node.
    address = lab.pods("keeper")["node2"]
    lab.cluster.kill_node(lab.progress, "node2")
    assert call(address, "/") is None
    poll_until(
        "the loss of node2 to be noticed", lambda: lab.state("node2") == "not ready, killed", seconds=NOTICE_LIMIT
    )
    poll_until("three mobile pods on two nodes", lambda: ready_on(lab, {"node1", "node3"}), seconds=60)
    assert set(lab.pods("keeper")) == {"node1", "node3"}
    lab.cluster.start_node(lab.progress, "node2")
    lab.wait_for_keepers()
    assert {node: call(address, "/") for node, address in lab.pods("keeper").items()} == {
        node: f"of {node}" for node in NODES
    }

    # Cut off: its pods run on, and nothing reaches them until the node is healed.
    address = lab.pods("keeper")["node3"]
    processes_of_pods = pod_processes(lab, "node3")
    lab.cluster.cut_node(lab.progress, "node3")
    assert call(address, "/") is None
    poll_until(
        "the loss of node3 to be noticed", lambda: lab.state("node3") == "not ready, cut off", seconds=NOTICE_LIMIT
    )
    assert call(lab.pods("keeper")["node1"], f"/call?host={address}") is None
    assert processes_of_pods <= pod_processes(lab, "node3")
    lab.cluster.heal_node(lab.progress, "node3")
    poll_until("node3 to be ready", lambda: lab.state("node3") == "ready", seconds=60)
    lab.wait_for_keepers()
    assert call(lab.pods("keeper")["node3"], "/") == "of node3"

    # Drained: its pods leave in good order, and no new ones come.
    wct(lab.home, "cluster", "node", "drain", "node2")
    assert lab.state("node2") == "ready, cordoned"
    poll_until("three mobile pods on two nodes", lambda: ready_on(lab, {"node1", "node3"}), seconds=60)
    assert set(lab.pods("keeper")) == {"node1", "node3"}
    lab.cluster.start_node(lab.progress, "node2")
    lab.wait_for_keepers()

    # The control plane survives the loss of node1, which shares its network and so cannot be cut off.
    with pytest.raises(Failure, match="control plane"):
        lab.cluster.cut_node(lab.progress, "node1")
    lab.cluster.kill_node(lab.progress, "node1")
    assert lab.cluster.status().api_ready
    keepers = lab.pods("keeper")
    assert str(call(keepers["node3"], f"/call?host={keepers['node2']}")).endswith("of node2")
    lab.cluster.up(lab.progress)
    assert lab.cluster.status().is_up
    lab.wait_for_keepers()
    lab.cluster.down(lab.progress)
    assert machine() == lab.untouched


def pairs(lab: Lab) -> set[tuple[str, str]]:
    """Each pair of nodes whose mobile pod makes a new connection to the other's keeper."""
    files = namespaces(lab.home)
    targets = {(address, 8080): node for node, address in lab.pods("keeper").items()}
    callers = {node: files[address] for node, address in lab.pods("mobile").items()}
    answers = reached_from(callers, targets, CONNECT_LIMIT)
    return {(node, targets[address]) for node, addresses in answers.items() for address in addresses}


def keepers_alone() -> dict[str, Any]:
    """A policy by which none but a keeper reaches a keeper."""
    keepers = {"podSelector": {"matchLabels": {"app": "keeper"}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "keepers"},
        "spec": {**keepers, "policyTypes": ["Ingress"], "ingress": [{"from": [keepers]}]},
    }


def ready_on(lab: Lab, nodes: set[str]) -> bool:
    return lab.ready("mobile") == 3 and set(lab.pods("mobile")) == nodes


def volumes(lab: Lab) -> Mapping[str, str]:
    """Node → number of the volume that is claimed on it."""
    claimed = [item for item in lab.get("/api/v1/persistentvolumes")["items"] if "claimRef" in item["spec"]]
    names = [item["metadata"]["name"].partition("-") for item in claimed]
    assert sorted(node for node, _, _ in names) == list(NODES), "each node has one of the three volumes"
    return {node: number for node, _, number in names}


def pod_processes(lab: Lab, node: str) -> set[int]:
    return ControlGroup(f"{lab.home.cgroup}/{node}").processes()


def call(address: str, path: str) -> str | None:
    """The answer of a pod; None if there is none within six seconds, or an error."""
    connection = http.client.HTTPConnection(address, 8080, timeout=6)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.read().decode() if answer.status == 200 else None
    return None


def wct(home: Home, *arguments: str) -> None:
    environment = os.environ | {HOME_VARIABLE: str(home.root)}
    subprocess.run([sys.executable, "-m", "cli", *arguments], cwd=ROOT, env=environment, check=True)
