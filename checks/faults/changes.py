"""Changes of the local cluster that are faults while they last.

A change knows all that its undoing needs. It can be written as JSON, and undone by another process, more than once.
"""

import contextlib
import dataclasses
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

import kubernetes

from checks.chaos.cluster import LocalCluster, filter_packets, processes_of
from stack.kubernetes.client import connect
from stack.polling import poll_until

READY_SECONDS: Final = 180.0
_PERIOD: Final = 100_000
"""Of a limit of CPU time, in microseconds."""
_LEAST_QUOTA: Final = 1_000
"""The kernel refuses less."""
_MEASURING_SECONDS: Final = 5.0


class Change(Protocol):
    """One change."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def apply(self, cluster: LocalCluster) -> None:
        """Makes the change."""

    def undo(self, cluster: LocalCluster) -> None:
        """Takes the change back, and waits until the pods are ready. Does nothing where nothing was changed."""


Plan = Callable[[LocalCluster], Change]
"""Looks at the cluster, and returns a change of it. Changes nothing."""


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """A workload without pods."""

    workload: str
    replicas: int

    def apply(self, cluster: LocalCluster) -> None:
        running = cluster.pods(self.workload)
        cluster.set_replicas(self.workload, 0)
        for pod in running:
            cluster.end(pod)

    def undo(self, cluster: LocalCluster) -> None:
        cluster.set_replicas(self.workload, self.replicas)
        cluster.wait_ready(self.workload, self.replicas)


def stopped(workload: str) -> Plan:
    """A workload without pods; the running pods are killed."""
    return lambda cluster: Stopped(workload=workload, replicas=cluster.replicas(workload))


@dataclass(frozen=True, kw_only=True)
class Filtered:
    """Rules of iptables in a pod."""

    uid: str
    rules: Sequence[Sequence[str]]

    def apply(self, cluster: LocalCluster) -> None:
        for rule in self.rules:
            filter_packets(processes_of(self.uid)[0], "--insert", rule)

    def undo(self, cluster: LocalCluster) -> None:
        # If the pod has ended meanwhile, its rules are gone.
        for process in processes_of(self.uid)[:1]:
            for rule in self.rules:
                with contextlib.suppress(subprocess.CalledProcessError):
                    filter_packets(process, "--delete", rule)


def filtered(workload: str, *rules: Sequence[str]) -> Plan:
    """Rules for the packets that a workload's first pod sends."""

    def plan(cluster: LocalCluster) -> Change:
        return Filtered(uid=str(cluster.ready(workload)[0].metadata.uid), rules=[["OUTPUT", *rule] for rule in rules])

    return plan


def to_port(port: int, protocol: str = "tcp") -> list[str]:
    """The packets to a port."""
    return ["--protocol", protocol, "--dport", str(port)]


def share(part: float) -> list[str]:
    """A random part of the packets."""
    return ["--match", "statistic", "--mode", "random", "--probability", f"{part:.4f}"]


DROP: Final = ["--jump", "DROP"]
RESET: Final = ["--jump", "REJECT", "--reject-with", "tcp-reset"]
# PSH: once for the data of an application, not for the acknowledgements of the kernel.
WITH_DATA: Final = ["--tcp-flags", "PSH", "PSH"]


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """Another version or other settings of a service."""

    deployment: str
    original: Mapping[str, Any]
    """`template` and `strategy` of the Deployment."""
    patch: Mapping[str, Any]
    """The changed part of its `spec`."""
    becomes_ready: bool

    def apply(self, cluster: LocalCluster) -> None:
        self._patch(cluster, {"spec": self.patch}, wait=self.becomes_ready)

    def undo(self, cluster: LocalCluster) -> None:
        operations = [{"op": "replace", "path": f"/spec/{key}", "value": value} for key, value in self.original.items()]
        self._patch(cluster, operations, wait=True)

    def _patch(self, cluster: LocalCluster, body: Any, *, wait: bool) -> None:
        apps = kubernetes.client.AppsV1Api(connect(cluster.settings.cluster))
        changed = apps.patch_namespaced_deployment(self.deployment, cluster.namespace, body)

        def is_rolled() -> bool:
            status = apps.read_namespaced_deployment(self.deployment, cluster.namespace).status
            count = changed.spec.replicas
            return bool(
                (status.observed_generation or 0) >= changed.metadata.generation
                and status.updated_replicas == status.available_replicas == count
                and len(cluster.pods(self.deployment)) == count
            )

        if wait:
            what = f"the pods of {self.deployment} to be replaced"
            look_at = f"kubectl -n {cluster.namespace} get pods"
            poll_until(what, is_rolled, seconds=READY_SECONDS, every=0.25, look_at=look_at)


def deployed(
    service: str, container: Callable[[], Mapping[str, Any]], *, at_once: bool = False, becomes_ready: bool = True
) -> Plan:
    """A change of a service's container.

    Args:
        service: its name.
        container: returns the changed part of the container.
        at_once: whether the old pods end before the new pods are ready.
        becomes_ready: whether the new pods become ready.
    """

    def plan(cluster: LocalCluster) -> Change:
        client = connect(cluster.settings.cluster)
        apps = kubernetes.client.AppsV1Api(client)
        original = client.sanitize_for_serialization(apps.read_namespaced_deployment(service, cluster.namespace).spec)
        patch: dict[str, Any] = {"template": {"spec": {"containers": [{"name": service, **container()}]}}}
        if at_once:
            patch["strategy"] = {"type": "Recreate", "rollingUpdate": None}
        return Deployed(
            deployment=service,
            original={key: original[key] for key in ("template", "strategy")},
            patch=patch,
            becomes_ready=becomes_ready,
        )

    return plan


def variable(name: str, value: str) -> Callable[[], Mapping[str, Any]]:
    """Another value of an environment variable."""
    return lambda: {"env": [{"name": name, "value": value, "valueFrom": None}]}


@dataclass(frozen=True, kw_only=True)
class Throttled:
    """Little CPU time for a container."""

    file: str
    """The file with the limit."""
    original: str
    limit: str

    def apply(self, cluster: LocalCluster) -> None:
        Path(self.file).write_text(self.limit)

    def undo(self, cluster: LocalCluster) -> None:
        # If the container has ended meanwhile, the file is gone.
        with contextlib.suppress(FileNotFoundError):
            Path(self.file).write_text(self.original)


def throttled(workload: str, part: float) -> Plan:
    """A part of the CPU time that the pod of a workload uses now, in version 1 or 2 of control groups."""

    def plan(cluster: LocalCluster) -> Change:
        process = cluster.process(cluster.ready(workload)[0])
        quota = str(max(_LEAST_QUOTA, round(part * _used_cores(process) * _PERIOD)))
        groups = dict(line.split(":", 2)[1:] for line in Path(f"/proc/{process}/cgroup").read_text().splitlines())
        path = next((value for names, value in groups.items() if "cpu" in names.split(",")), None)
        if path is not None:
            file, limit = Path(f"/sys/fs/cgroup/cpu{path}/cpu.cfs_quota_us"), quota
        else:
            file, limit = Path(f"/sys/fs/cgroup{groups['']}/cpu.max"), f"{quota} {_PERIOD}"
        return Throttled(file=str(file), original=file.read_text().strip(), limit=limit)

    return plan


def _used_cores(process: int) -> float:
    """How many cores a process uses, measured over some seconds."""

    def seconds() -> float:
        user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    started, used = time.monotonic(), seconds()
    time.sleep(_MEASURING_SECONDS)
    return (seconds() - used) / (time.monotonic() - started)


@dataclass(frozen=True, kw_only=True)
class Misconfigured:
    """A configuration file that the program refuses."""

    config_map: str
    workload: str
    key: str
    original: str
    text: str

    def apply(self, cluster: LocalCluster) -> None:
        self._write(cluster, self.text)
        for pod in cluster.pods(self.workload):
            cluster.end(pod)

    def undo(self, cluster: LocalCluster) -> None:
        self._write(cluster, self.original)
        # A new pod has no back-off, which would lengthen the recovery.
        for pod in cluster.pods(self.workload):
            cluster.end(pod)
        cluster.wait_ready(self.workload, cluster.replicas(self.workload))

    def _write(self, cluster: LocalCluster, text: str) -> None:
        core = kubernetes.client.CoreV1Api(connect(cluster.settings.cluster))
        core.patch_namespaced_config_map(self.config_map, cluster.namespace, {"data": {self.key: text}})


def misconfigured(workload: str, key: str, edit: Callable[[str], str]) -> Plan:
    """A change of a workload's configuration file."""

    def plan(cluster: LocalCluster) -> Change:
        name = f"{workload}-config"
        core = kubernetes.client.CoreV1Api(connect(cluster.settings.cluster))
        text = core.read_namespaced_config_map(name, cluster.namespace).data[key]
        return Misconfigured(config_map=name, workload=workload, key=key, original=text, text=edit(text))

    return plan


@dataclass(kw_only=True)
class CrashLooped:
    """A process that is killed each time it starts. The killing ends with this process."""

    workload: str
    replicas: int
    _ended: threading.Event = field(default_factory=threading.Event, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)

    def apply(self, cluster: LocalCluster) -> None:
        self._thread = threading.Thread(target=self._kill, args=(cluster,), daemon=True)
        self._thread.start()

    def _kill(self, cluster: LocalCluster) -> None:
        killed: set[str] = set()
        while not self._ended.wait(0.2):
            for pod in cluster.pods(self.workload):
                for status in pod.status.container_statuses or []:
                    if status.state.running and status.container_id not in killed:
                        with contextlib.suppress(LookupError, ProcessLookupError):
                            os.kill(cluster.process(pod), signal.SIGKILL)
                            killed.add(status.container_id)

    def undo(self, cluster: LocalCluster) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join()
        # A new pod has no back-off, which would lengthen the recovery.
        for pod in cluster.pods(self.workload):
            cluster.end(pod)
        cluster.wait_ready(self.workload, self.replicas)


def crash_looped(workload: str) -> Plan:
    """A workload whose process is killed each time it starts."""
    return lambda cluster: CrashLooped(workload=workload, replicas=cluster.replicas(workload))


def new_password() -> str:
    """A random password."""
    return secrets.token_urlsafe(24)


def fields_of(change: Change) -> dict[str, Any]:
    """The values of a change that JSON can hold, by name."""
    return {
        item.name: getattr(change, item.name) for item in dataclasses.fields(change) if not item.name.startswith("_")
    }
