"""What goes wrong, and which alerts tell of it. Each fault is there while its context is open."""

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
from contracts.tasks import TABLE
from stack.components.postgres.database import DATABASE, ROLE
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret

HARD_SECONDS: Final = 45.0
"""Until somebody is told that something does not work at all."""
SOFT_SECONDS: Final = 120.0
"""Until somebody is told that something works less well."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault."""

    inject: Callable[[LocalCluster], AbstractContextManager[None]]
    alerts: frozenset[str]
    """Any of these tells of it."""
    seconds: float = HARD_SECONDS


def away(name: str) -> Callable[[LocalCluster], AbstractContextManager[None]]:
    """No pod of a workload."""
    return lambda cluster: cluster.away(name)


@contextlib.contextmanager
def crawler_cut_off(cluster: LocalCluster) -> Iterator[None]:
    """The crawler reaches no page any more."""
    with cluster.reset(cluster.ready(endpoints.CRAWLER)[0], endpoints.SERVICE_PORT):
        yield


@contextlib.contextmanager
def some_requests_fail(cluster: LocalCluster) -> Iterator[None]:
    """One in ten of the gateway's questions to the task-manager fails; half of its requests ask one: 5 %."""
    with cluster.reset(cluster.ready(endpoints.GATEWAY)[0], endpoints.SERVICE_PORT, share=0.1):
        yield


@contextlib.contextmanager
def consumer_cut_off(cluster: LocalCluster) -> Iterator[None]:
    """The crawler runs, and nothing comes from Kafka."""
    with cluster.dropped(cluster.ready(endpoints.CRAWLER)[0], "OUTPUT", endpoints.KAFKA_PORT):
        yield


@contextlib.contextmanager
def store_cut_off(cluster: LocalCluster) -> Iterator[None]:
    """A Collector does not reach the trace store; its queue fills."""
    with cluster.dropped(cluster.ready(endpoints.COLLECTOR)[0], "OUTPUT", endpoints.OTLP_GRPC_PORT):
        yield


@contextlib.contextmanager
def table_locked(cluster: LocalCluster) -> Iterator[None]:
    """Somebody locks the table of the tasks for most of the time; statements wait, and succeed."""
    values = read_secret(connect(cluster.settings.cluster), cluster.namespace, secret_keys.SECRET)
    over = threading.Event()
    address = cluster.address(endpoints.POSTGRES)
    password = values[secret_keys.POSTGRES_PASSWORD]
    with psycopg.connect(
        host=address, port=endpoints.POSTGRES_PORT, dbname=DATABASE, user=ROLE, password=password, autocommit=True
    ) as connection:

        def lock() -> None:
            while not over.is_set():
                with connection.transaction():
                    connection.execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
                    over.wait(0.8)

        thread = threading.Thread(target=lock)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@contextlib.contextmanager
def crash_loop(cluster: LocalCluster) -> Iterator[None]:
    """The crawler's process is killed whenever it has begun."""
    over = threading.Event()
    core = kubernetes.client.CoreV1Api(connect(cluster.settings.cluster))

    def kill() -> None:
        killed: set[str] = set()
        while not over.wait(0.2):
            for pod in cluster.pods(endpoints.CRAWLER):
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
        over.set()
        thread.join()
        # Its back-off is not what is measured.
        for pod in cluster.pods(endpoints.CRAWLER):
            core.delete_namespaced_pod(pod.metadata.name, cluster.namespace, grace_period_seconds=0)
        cluster.wait_ready(endpoints.CRAWLER, 1)


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
            inject=away(endpoints.KAFKA), alerts=frozenset({"DependencyDown", "SendingFails", "ConsumerUnassigned"})
        ),
        "postgres-down": Fault(inject=away(endpoints.POSTGRES), alerts=frozenset({"DependencyDown", "StatementsFail"})),
        "collector-down": Fault(inject=away(endpoints.COLLECTOR), alerts=frozenset({"CollectorDown", "ExportFails"})),
        "store-down": Fault(inject=away(store), alerts=frozenset({"TraceStoreDown"})),
        "queue-filling": Fault(inject=store_cut_off, alerts=frozenset({"CollectorQueueStuck"})),
        "crash-loop": Fault(inject=crash_loop, alerts=frozenset({"CrashLoop", "ServiceDown"})),
        "task-manager-down": Fault(inject=away(endpoints.TASK_MANAGER), alerts=frozenset({"ServiceDown"})),
    }
