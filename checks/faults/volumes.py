"""A full volume as a fault."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from checks.chaos.cluster import LocalCluster
from checks.chaos.volumes import SmallVolume
from checks.faults.changes import Change
from contracts import endpoints

_MEBIBYTES: Final = 64
_SENDING_SECONDS: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class QueueVolumeFull:
    """A full file system in place of the volume of a Collector's queue."""

    path: str
    """Of the volume on this machine."""

    def apply(self, cluster: LocalCluster) -> None:
        volume = SmallVolume(Path(self.path))
        volume.unmount()
        volume.mount(_MEBIBYTES)
        cluster.kill(_collector(cluster))  # the new one has the small volume
        cluster.wait_ready(endpoints.COLLECTOR, cluster.replicas(endpoints.COLLECTOR))
        volume.fill()

    def undo(self, cluster: LocalCluster) -> None:
        volume = SmallVolume(Path(self.path))
        if not volume.path.is_mount():
            return
        volume.empty()
        pod = _collector(cluster)
        # The small volume ends with its queue. The senders keep their spans while the Collector sends what is in it.
        ports = (endpoints.OTLP_GRPC_PORT, endpoints.OTLP_HTTP_PORT)
        with contextlib.suppress(LookupError), cluster.dropped(pod, "INPUT", *ports):
            time.sleep(_SENDING_SECONDS)
        volume.unmount()
        cluster.replace(pod)
        cluster.wait_ready(endpoints.COLLECTOR, cluster.replicas(endpoints.COLLECTOR))


def queue_volume_full(cluster: LocalCluster) -> Change:
    """The volume of one Collector's queue is full."""
    return QueueVolumeFull(path=str(cluster.volume(_collector(cluster)).path))


def _collector(cluster: LocalCluster) -> Any:
    """The Collector whose volume changes: always the first."""
    return cluster.pods(endpoints.COLLECTOR)[0]
