"""The faults. Each returns when its cause is over; the recovery is measured from then on."""

import contextlib
import threading
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

from checks.chaos.cluster import LocalCluster
from contracts import endpoints

Fault = Callable[[LocalCluster, Random, float], None]
"""Takes the cluster, the source of random choices, and the seconds that the fault lasts, if it has a duration."""

_SMALL_VOLUME_MEBIBYTES: Final = 64


def kill_collector(cluster: LocalCluster, rng: Random, _seconds: float) -> None:
    """SIGKILL of a Collector."""
    cluster.kill(_a_collector(cluster, rng))
    cluster.wait_ready(endpoints.COLLECTOR, cluster.settings.collector.replicas)


def kill_store(cluster: LocalCluster, _rng: Random, _seconds: float) -> None:
    """SIGKILL of the trace store."""
    cluster.kill(cluster.ready(cluster.store)[0])
    cluster.wait_ready(cluster.store, 1)


def store_unavailable(cluster: LocalCluster, _rng: Random, seconds: float) -> None:
    """The trace store is stopped for a while."""
    cluster.scale(cluster.store, 0)
    try:
        _wait(seconds)
    finally:
        cluster.scale(cluster.store, 1)


def rolling_restart(cluster: LocalCluster, _rng: Random, _seconds: float) -> None:
    """All Collectors restart, one after the other."""
    cluster.restart(endpoints.COLLECTOR)


def cut_from_store(cluster: LocalCluster, rng: Random, seconds: float) -> None:
    """A Collector's packets to the trace store are dropped."""
    with cluster.dropped(_a_collector(cluster, rng), "OUTPUT", endpoints.OTLP_GRPC_PORT):
        _wait(seconds)


def cut_from_senders(cluster: LocalCluster, rng: Random, seconds: float) -> None:
    """The packets of a Collector's senders are dropped."""
    with cluster.dropped(_a_collector(cluster, rng), "INPUT", endpoints.OTLP_GRPC_PORT):
        _wait(seconds)


def disk_full(cluster: LocalCluster, rng: Random, seconds: float) -> None:
    """A Collector's volume is full, and it cannot send its queue."""
    replicas = cluster.settings.collector.replicas
    victim = _a_collector(cluster, rng)
    name = str(victim.metadata.name)
    with contextlib.ExitStack() as cut:
        with cluster.small_volume(victim, _SMALL_VOLUME_MEBIBYTES) as volume:
            cluster.kill(victim)  # the new one has the small volume
            cluster.wait_ready(endpoints.COLLECTOR, replicas)
            with volume.full(), cluster.dropped(_pod(cluster, name), "OUTPUT", endpoints.OTLP_GRPC_PORT):
                _wait(seconds)
            cluster.wait_ready(endpoints.COLLECTOR, replicas)
            # The small volume is removed at the end, so its queue must be sent before.
            pod = _pod(cluster, name)
            cut.enter_context(cluster.dropped(pod, "INPUT", endpoints.OTLP_GRPC_PORT))
            cluster.wait_drained(pod)
        cluster.replace(pod)
    cluster.wait_ready(endpoints.COLLECTOR, replicas)


FAULTS: Final[Mapping[str, Fault]] = {
    "kill-collector": kill_collector,
    "kill-store": kill_store,
    "store-unavailable": store_unavailable,
    "rolling-restart": rolling_restart,
    "cut-from-store": cut_from_store,
    "cut-from-senders": cut_from_senders,
    "disk-full": disk_full,
}


def _a_collector(cluster: LocalCluster, rng: Random) -> Any:
    return rng.choice(cluster.ready(endpoints.COLLECTOR))


def _pod(cluster: LocalCluster, name: str) -> Any:
    return next(pod for pod in cluster.ready(endpoints.COLLECTOR) if pod.metadata.name == name)


def _wait(seconds: float) -> None:
    """The duration of a fault: the only wait without a condition."""
    threading.Event().wait(seconds)
