"""Each pair of pods of the local stack is tried: what is declared connects, and nothing else."""

from collections.abc import Iterator

import kubernetes
import pytest

from checks.network import stack as network
from checks.network.sockets import namespaces, reached_from
from contracts.connections import INTERNET
from contracts.services import CRAWLER
from local.firewall import queues_work
from local.layout import PAUSE_IMAGE
from local.paths import Home
from stack.kubernetes.client import connect
from stack.polling import poll_until
from stack.settings import load

STRANGER = "network-stranger"


@pytest.fixture(autouse=True)
def enforced() -> None:
    if not queues_work():
        pytest.skip("the kernel cannot queue packets, so the local cluster enforces no NetworkPolicy")


@pytest.fixture
def running() -> list[network.Pod]:
    return network.pods(load("local"), Home.default())


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of a pod in a namespace that the stack does not know."""
    core = kubernetes.client.CoreV1Api(connect(load("local").cluster))
    core.create_namespace({"metadata": {"name": STRANGER}})
    try:
        container = {"name": "pause", "image": PAUSE_IMAGE}
        core.create_namespaced_pod(STRANGER, {"metadata": {"name": "stranger"}, "spec": {"containers": [container]}})
        yield poll_until("an address", lambda: core.read_namespaced_pod("stranger", STRANGER).status.pod_ip, seconds=30)
    finally:
        core.delete_namespace(STRANGER)


def test_pods_reach_what_is_declared_and_nothing_else(running: list[network.Pod]) -> None:
    # Without policies all ports would answer: this machine, which no policy concerns, reaches them.
    assert not network.unreachable_from_the_machine(running)
    matrix = network.measure(load("local"), Home.default())
    assert matrix.pairs >= 100
    assert not matrix.missing
    assert not matrix.forbidden


def test_the_crawler_alone_reaches_the_internet(running: list[network.Pod]) -> None:
    for component, reached in network.outside(running).items():
        assert reached == {"dns", INTERNET} if component == CRAWLER else {"dns"}, component


def test_a_pod_of_another_namespace_reaches_nothing(running: list[network.Pod], stranger: str) -> None:
    expected = {(pod.address, port) for pod in running for port in pod.ports}
    answers = reached_from({stranger: namespaces(Home.default())[stranger]}, expected, network.SECONDS)
    assert answers[stranger] == set()
