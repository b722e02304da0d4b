"""What is done to the stack. Each fault returns when its cause is over; the recovery is measured from there."""

import contextlib
import random
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from checks.chaos.cluster import LocalCluster
from contracts import endpoints

Fault = Callable[[LocalCluster, random.Random, float], None]
"""cluster, chance, seconds that it lasts (where it has a duration)."""

_SMALL_VOLUME_MEBIBYTES: Final = 64


def kill_collector(cluster: LocalCluster, chance: random.Random, _seconds: float) -> None:
    """SIGKILL of a Collector."""
    cluster.kill(_a_collector(cluster, chance))
    cluster.wait_ready(endpoints.COLLECTOR, cluster.settings.collector.replicas)


def kill_store(cluster: LocalCluster, _chance: random.Random, _seconds: float) -> None:
    """SIGKILL of the trace store."""
    cluster.kill(cluster.ready(cluster.store)[0])
    cluster.wait_ready(cluster.store, 1)


def store_away(cluster: LocalCluster, _chance: random.Random, seconds: float) -> None:
    """No trace store for a while."""
    cluster.scale(cluster.store, 0)
    try:
        _last(seconds)
    finally:
        cluster.scale(cluster.store, 1)


def rolling_restart(cluster: LocalCluster, _chance: random.Random, _seconds: float) -> None:
    """All Collectors are replaced, one after the other."""
    cluster.restart(endpoints.COLLECTOR)


def cut_from_store(cluster: LocalCluster, chance: random.Random, seconds: float) -> None:
    """A Collector's packets to the trace store vanish."""
    with cluster.dropped(_a_collector(cluster, chance), "OUTPUT", endpoints.OTLP_GRPC_PORT):
        _last(seconds)


def cut_from_senders(cluster: LocalCluster, chance: random.Random, seconds: float) -> None:
    """The packets of a Collector's senders vanish."""
    with cluster.dropped(_a_collector(cluster, chance), "INPUT", endpoints.OTLP_GRPC_PORT):
        _last(seconds)


def disk_full(cluster: LocalCluster, chance: random.Random, seconds: float) -> None:
    """A Collector's volume is full, and it cannot get rid of its queue."""
    replicas = cluster.settings.collector.replicas
    victim = _a_collector(cluster, chance)
    name = str(victim.metadata.name)
    with contextlib.ExitStack() as cut:
        with cluster.small_volume(victim, _SMALL_VOLUME_MEBIBYTES) as volume:
            cluster.kill(victim)  # the new one has the small volume
            cluster.wait_ready(endpoints.COLLECTOR, replicas)
            with volume.full(), cluster.dropped(_pod(cluster, name), "OUTPUT", endpoints.OTLP_GRPC_PORT):
                _last(seconds)
            cluster.wait_ready(endpoints.COLLECTOR, replicas)
            # The small volume is the test's, not the stack's: what is on it has to be out before it goes.
            pod = _pod(cluster, name)
            cut.enter_context(cluster.dropped(pod, "INPUT", endpoints.OTLP_GRPC_PORT))
            cluster.wait_drained(pod)
        cluster.replace(pod)
    cluster.wait_ready(endpoints.COLLECTOR, replicas)


FAULTS: Final[Mapping[str, Fault]] = {
    "kill-collector": kill_collector,
    "kill-store": kill_store,
    "store-away": store_away,
    "rolling-restart": rolling_restart,
    "cut-from-store": cut_from_store,
    "cut-from-senders": cut_from_senders,
    "disk-full": disk_full,
}


def _a_collector(cluster: LocalCluster, chance: random.Random) -> Any:
    return chance.choice(cluster.ready(endpoints.COLLECTOR))


def _pod(cluster: LocalCluster, name: str) -> Any:
    return next(pod for pod in cluster.ready(endpoints.COLLECTOR) if pod.metadata.name == name)


def _last(seconds: float) -> None:
    """The one wait without a condition: a fault's own duration."""
    threading.Event().wait(seconds)
