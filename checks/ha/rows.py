"""The rows: what each does to the stack. A fault returns once its cause is over."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from checks.ha.model import NONE, Expected
from checks.ha.stack import Stack
from contracts import endpoints
from local import commands
from local.cluster import Cluster
from local.jobs import Progress
from local.nodes import Node, first_nodes
from stack.components.kafka import component as kafka
from stack.components.kafka.config import CONFIG
from stack.polling import CheckFailure

NODES: Final = first_nodes(3)
_BROKER_LOST: Final = frozenset({"RequestsSlow", "MessagesWait", "ReplicasMissing"})
"""For 6 to 14 s no task is acknowledged: longer than the objectives allow. The last one comes after five minutes."""
_NODE_LOST: Final = Expected(
    needed=frozenset({"CollectorDown"}),
    # The first comes after five minutes, the second where the node has the only trace store.
    allowed=_BROKER_LOST | {"ServiceDegraded", "TraceStoreDown"},
)
_NODE_DRAINED: Final = Expected(allowed=_NODE_LOST.needed | _NODE_LOST.allowed)
"""Its pods with a volume wait for it. All of this is true, and the operator who drains a node knows it."""
_POD_KILLED: Final[Mapping[str, Expected]] = {
    endpoints.KAFKA: Expected(allowed=_BROKER_LOST),
    endpoints.COLLECTOR: Expected(allowed=frozenset({"CollectorDown"})),
    endpoints.JAEGER: Expected(allowed=frozenset({"TraceStoreDown"})),
    endpoints.LOKI: Expected(allowed=frozenset({"LogStoreDown"})),
}
"""Kubernetes replaces a pod at once, so no alert is needed. One of that part is right if its pod is slow to start."""
KAFKA_UPGRADED: Final = "kafka-upgraded"
_DRAIN_SECONDS: Final = 300
_STORAGE_SECONDS: Final = 600.0
Fault = Callable[[Stack, float], None]
"""Takes the stack and the seconds that the fault lasts, if it has a duration."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row."""

    title: str
    fault: Fault
    client: Node
    """The node from whose network the load is sent: one that the fault does not hit."""
    expected: Expected = NONE
    outage: float | None = None
    """How long the fault lasts, in s; as long as the caller says if None."""


def _progress() -> Progress:
    return Progress("node", logs=Cluster().home.logs)


def _other(*nodes: Node) -> Node:
    return next(node for node in reversed(NODES) if node not in nodes)


def _killed(*nodes: Node) -> Fault:
    def fault(_stack: Stack, seconds: float) -> None:
        cluster = Cluster()
        try:
            for node in nodes:
                cluster.kill_node(_progress(), node.name)
            _wait(seconds)
        finally:
            for node in nodes:
                cluster.start_node(_progress(), node.name)

    return fault


def _cut(node: Node) -> Fault:
    def fault(_stack: Stack, seconds: float) -> None:
        cluster = Cluster()
        cluster.cut_node(_progress(), node.name)
        try:
            _wait(seconds)
        finally:
            cluster.heal_node(_progress(), node.name)

    return fault


def _drained(node: Node) -> Fault:
    def fault(_stack: Stack, seconds: float) -> None:
        try:
            if commands.drain_node(node.name, timeout=_DRAIN_SECONDS):
                raise CheckFailure(f"{node.name} cannot be drained", "the output of kubectl above")
            _wait(seconds / 4)
        finally:
            Cluster().start_node(_progress(), node.name)

    return fault


def _pod_killed(workload: str) -> Fault:
    def fault(stack: Stack, _seconds: float) -> None:
        stack.cluster.end(stack.cluster.ready(workload)[0])

    return fault


def _no_fault(_stack: Stack, seconds: float) -> None:
    _wait(seconds)


def _kafka_upgraded(stack: Stack, _seconds: float) -> None:
    stack.deploy()
    pod = f"{endpoints.KAFKA}-0"
    program = f"{CONFIG}/{kafka.FINISH_UPGRADE.name}"
    if commands.kubectl(["-n", stack.cluster.namespace, "exec", pod, "-c", endpoints.KAFKA, "--", "sh", program]):
        raise CheckFailure("the upgrade of Kafka cannot be finished", "the output of kubectl above")


def _storage_stopped(stack: Stack, seconds: float) -> None:
    stack.storage.kill()
    try:
        _wait(seconds)
    finally:
        stack.storage.start()


def _all_restarted(stack: Stack, _seconds: float) -> None:
    for workload in stack.cluster.workloads():
        stack.cluster.restart(workload)


def _fail_over(stack: Stack, _seconds: float) -> None:
    stack.postgres.fail_over()


def rows(workloads: list[str], *, object_storage: bool = True) -> Mapping[str, Row]:
    """Return all rows by name, in their order.

    Args:
        workloads: of the stack, of each of which a pod is killed.
        object_storage: whether the stack uses some.
    """
    result = {
        # First: the stack starts with the earlier version for it.
        KAFKA_UPGRADED: Row(title="Kafka upgraded by a version", fault=_kafka_upgraded, client=_other()),
        "no-fault": Row(title="nothing", fault=_no_fault, client=_other()),
    }
    for node in NODES:
        result[f"node-killed-{node.number}"] = Row(
            title=f"{node.name} killed", fault=_killed(node), client=_other(node), expected=_NODE_LOST
        )
    for node in NODES:
        if node.has_namespace:
            result[f"node-cut-{node.number}"] = Row(
                title=f"{node.name} cut off", fault=_cut(node), client=_other(node), expected=_NODE_LOST
            )
    for node in NODES:
        result[f"node-drained-{node.number}"] = Row(
            title=f"{node.name} drained", fault=_drained(node), client=_other(node), expected=_NODE_DRAINED
        )
    for zone in sorted({node.zone for node in NODES}):
        lost = tuple(node for node in NODES if node.zone == zone)
        result[zone] = Row(title=f"{zone} lost", fault=_killed(*lost), client=_other(*lost), expected=_NODE_LOST)
    for workload in workloads:
        result[f"pod-{workload}"] = Row(
            title=f"a pod of {workload} killed",
            fault=_pod_killed(workload),
            client=_other(),
            expected=_POD_KILLED.get(workload, NONE),
        )
    if object_storage:
        result["storage-unavailable"] = Row(
            title="object storage unavailable",
            fault=_storage_stopped,
            client=_other(),
            # No user notices it, and nothing is lost: a ticket is in time if the storage misses several writes.
            expected=Expected(needed=frozenset({"ObjectStorageFails"}), seconds=360),
            outage=_STORAGE_SECONDS,
        )
    result["rolling-update"] = Row(title="rolling update of everything", fault=_all_restarted, client=_other())
    result["postgres-failover"] = Row(
        title="Postgres: primary killed",
        fault=_fail_over,
        client=_other(),
        # The services say that their database was unavailable.
        expected=Expected(allowed=frozenset({"DependencyFails"})),
    )
    return result


def _wait(seconds: float) -> None:
    """The duration of a fault: the only wait without a condition."""
    threading.Event().wait(seconds)
