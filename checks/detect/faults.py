"""The faults, and the alerts that must report each. A fault lasts while its context is open."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import kubernetes
import psycopg

from checks.chaos.cluster import LocalCluster
from contracts import endpoints, secret_keys
from contracts.services import CRAWLER, GATEWAY, TASK_MANAGER
from contracts.tasks import TABLE
from stack.components.postgres.database import DATABASE, ROLE
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret

HARD_SECONDS: Final = 45.0
"""The goal for a fault that stops a part of the stack completely."""
SOFT_SECONDS: Final = 120.0
"""The goal for a fault that degrades a part of the stack."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault."""

    inject: Callable[[LocalCluster], AbstractContextManager[None]]
    alerts: frozenset[str]
    """Any of these alerts detects the fault."""
    seconds: float = HARD_SECONDS


def stopped(name: str) -> Callable[[LocalCluster], AbstractContextManager[None]]:
    """A workload without pods."""
    return lambda cluster: cluster.stopped(name)


@contextlib.contextmanager
def crawler_cut_off(cluster: LocalCluster) -> Iterator[None]:
    """The crawler reaches no page."""
    with cluster.reset(cluster.ready(CRAWLER)[0], endpoints.SERVICE_PORT):
        yield


@contextlib.contextmanager
def some_requests_fail(cluster: LocalCluster) -> Iterator[None]:
    """One in ten requests of the gateway to the task-manager fails: 5 % of all requests, as half need one."""
    with cluster.reset(cluster.ready(GATEWAY)[0], endpoints.SERVICE_PORT, share=0.1):
        yield


@contextlib.contextmanager
def consumer_cut_off(cluster: LocalCluster) -> Iterator[None]:
    """The crawler runs, and receives nothing from Kafka."""
    with cluster.dropped(cluster.ready(CRAWLER)[0], "OUTPUT", endpoints.KAFKA_PORT):
        yield


@contextlib.contextmanager
def store_cut_off(cluster: LocalCluster) -> Iterator[None]:
    """A Collector does not reach the trace store; its queue fills."""
    with cluster.dropped(cluster.ready(endpoints.COLLECTOR)[0], "OUTPUT", endpoints.OTLP_GRPC_PORT):
        yield


@contextlib.contextmanager
def table_locked(cluster: LocalCluster) -> Iterator[None]:
    """Another session locks the table of the tasks for most of the time; statements wait, and succeed."""
    values = read_secret(connect(cluster.settings.cluster), cluster.namespace, secret_keys.SECRET)
    ended = threading.Event()
    address = cluster.address(endpoints.POSTGRES)
    password = values[secret_keys.POSTGRES_PASSWORD]
    with psycopg.connect(
        host=address, port=endpoints.POSTGRES_PORT, dbname=DATABASE, user=ROLE, password=password, autocommit=True
    ) as connection:

        def lock() -> None:
            while not ended.is_set():
                with connection.transaction():
                    connection.execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
                    ended.wait(0.8)

        thread = threading.Thread(target=lock)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@contextlib.contextmanager
def crash_loop(cluster: LocalCluster) -> Iterator[None]:
    """The crawler's process is killed each time it starts."""
    ended = threading.Event()
    core = kubernetes.client.CoreV1Api(connect(cluster.settings.cluster))

    def kill() -> None:
        killed: set[str] = set()
        while not ended.wait(0.2):
            for pod in cluster.pods(CRAWLER):
                state: Any = core.read_namespaced_pod_status(pod.metadata.name, cluster.namespace)
                for status in state.status.container_statuses or []:
                    if status.state.running and status.container_id not in killed:
                        with contextlib.suppress(LookupError, ProcessLookupError):
                            os.kill(cluster.process(state), signal.SIGKILL)
                            killed.add(status.container_id)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        # A new pod has no back-off, which would lengthen the recovery.
        for pod in cluster.pods(CRAWLER):
            core.delete_namespaced_pod(pod.metadata.name, cluster.namespace, grace_period_seconds=0)
        cluster.wait_ready(CRAWLER, 1)


def faults(store: str) -> Mapping[str, Fault]:
    """Name → fault.

    Args:
        store: the trace store's workload.
    """
    return {
        "crawler-failing": Fault(inject=crawler_cut_off, alerts=frozenset({"CrawlsFail"})),
        "five-percent-errors": Fault(
            inject=some_requests_fail, alerts=frozenset({"ErrorRateHigh"}), seconds=SOFT_SECONDS
        ),
        "slow-statements": Fault(inject=table_locked, alerts=frozenset({"StatementsSlow"}), seconds=SOFT_SECONDS),
        "consumer-stopped": Fault(inject=consumer_cut_off, alerts=frozenset({"ConsumerStopped", "DependencyDown"})),
        "kafka-down": Fault(
            inject=stopped(endpoints.KAFKA), alerts=frozenset({"DependencyDown", "SendingFails", "ConsumerUnassigned"})
        ),
        "postgres-down": Fault(
            inject=stopped(endpoints.POSTGRES), alerts=frozenset({"DependencyDown", "StatementsFail"})
        ),
        "collector-down": Fault(
            inject=stopped(endpoints.COLLECTOR), alerts=frozenset({"CollectorDown", "ExportFails"})
        ),
        "store-down": Fault(inject=stopped(store), alerts=frozenset({"TraceStoreDown"})),
        "queue-filling": Fault(inject=store_cut_off, alerts=frozenset({"CollectorQueueStuck"})),
        "crash-loop": Fault(inject=crash_loop, alerts=frozenset({"CrashLoop", "ServiceDown"})),
        "task-manager-down": Fault(inject=stopped(TASK_MANAGER), alerts=frozenset({"ServiceDown"})),
    }
