"""A program that takes all the memory, processes or disk space that it gets harms its own pod alone."""

from collections.abc import Iterator
from typing import Any

import kubernetes
import pytest
from kubernetes.stream import stream

from checks.chaos.cluster import LocalCluster
from contracts.services import CRAWLER
from stack.kubernetes.client import connect
from stack.polling import poll_until
from stack.settings import load

pytestmark = pytest.mark.nightly

SETTINGS = load("local")
NAMESPACE = SETTINGS.cluster.namespace
FINISHED = "got everything"
MEMORY = f"""
held = [b"x" * 1_000_000 for _ in range(50_000)]
print("{FINISHED}")
"""
PROCESSES = f"""
import os, signal
for _ in range(20_000):
    if os.fork() == 0:
        signal.pause()
print("{FINISHED}")
"""
DISK = """
with open("/tmp/filled", "wb") as file:
    for _ in range(300):
        file.write(b"x" * 1_048_576)
"""


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    """The cluster, whose crawler is replaced at the end: what the test has started in it ends with it."""
    cluster = LocalCluster(SETTINGS)
    cluster.wait_ready(CRAWLER, 1)
    yield cluster
    core = kubernetes.client.CoreV1Api(connect(SETTINGS.cluster))
    for pod in cluster.pods(CRAWLER):
        core.delete_namespaced_pod(pod.metadata.name, NAMESPACE, grace_period_seconds=0)
    cluster.wait_ready(CRAWLER, 1)


def run(pod: str, program: str) -> str:
    """Return what a Python program in the pod prints until it ends."""
    core = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(connect(SETTINGS.cluster).configuration))
    command = ["python3", "-c", program]
    parts = {"container": CRAWLER, "stdin": False, "stdout": True, "stderr": True, "tty": False}
    return str(stream(core.connect_get_namespaced_pod_exec, pod, NAMESPACE, command=command, **parts))


def others() -> dict[str, tuple[str, int, bool]]:
    """Name of a pod that is not the crawler's → its id, restarts, and whether all its containers are ready."""
    pods = kubernetes.client.CoreV1Api(connect(SETTINGS.cluster)).list_namespaced_pod(NAMESPACE).items
    return {
        pod.metadata.name: (
            pod.metadata.uid,
            sum(status.restart_count for status in pod.status.container_statuses or []),
            all(status.ready for status in pod.status.container_statuses or []),
        )
        for pod in pods
        if pod.metadata.labels.get("app.kubernetes.io/name") != CRAWLER
    }


@pytest.mark.parametrize("program", [MEMORY, PROCESSES], ids=["memory", "processes"])
def test_a_program_gets_no_more_than_its_pod_may_have(cluster: LocalCluster, program: str) -> None:
    baseline = others()
    assert FINISHED not in run(cluster.ready(CRAWLER)[0].metadata.name, program)
    assert others() == baseline


def test_a_pod_that_fills_its_disk_is_evicted_alone(cluster: LocalCluster) -> None:
    core, baseline = kubernetes.client.CoreV1Api(connect(SETTINGS.cluster)), others()
    name = cluster.ready(CRAWLER)[0].metadata.name
    run(name, DISK)

    def evicted() -> Any:
        status = core.read_namespaced_pod(name, NAMESPACE).status
        return status if status.reason == "Evicted" else None

    # The kubelet looks at the size of volumes every 10 s, and measures it once a minute.
    status = poll_until("the eviction of the pod", evicted, seconds=120)
    assert "exceeds the limit" in status.message
    poll_until("another pod of the crawler", lambda: cluster.ready(CRAWLER), seconds=60)
    assert others() == baseline
