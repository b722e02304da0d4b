"""The local cluster for faults: pods, their processes on this machine, their volumes."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import kubernetes

from checks.chaos.volumes import SmallVolume
from contracts import endpoints, metadata
from contracts.errors import UserError
from contracts.metadata import LOCAL_CONTEXT
from contracts.metrics import SENDING_QUEUE_SIZE
from local.paths import Home
from stack.kubernetes.client import connect
from stack.polling import CheckFailure, poll_until
from stack.settings import Settings
from stack.stores import Stores

READY_SECONDS: Final = 180.0
_ROLL_SECONDS: Final = 600.0
"""Until all pods of a workload are replaced, one after the other."""
_RESTARTED: Final = "kubectl.kubernetes.io/restartedAt"


_BACK_ENDS: Final = ("kafka", "postgres", "traces", "logs", "metrics", "alerting")


class LocalCluster:
    """Faults reach into processes, network namespaces and mounts, so they work on the compiled cluster only."""

    def __init__(self, settings: Settings, outside: Collection[str] = ()) -> None:
        """Connects to the cluster.

        Args:
            settings: of the stack.
            outside: back ends that the stack has not built, and that no fault reaches.

        Raises:
            UserError: it is another cluster, or the stack has not built another back end.
        """
        compiled = str(Home.default().kubeconfig)
        if (settings.cluster.context, settings.cluster.kubeconfig) != (LOCAL_CONTEXT, compiled):
            raise UserError(
                f"faults are for the compiled cluster of this machine; this stack is on context "
                f"{settings.cluster.context!r} of {settings.cluster.kubeconfig or 'your kubeconfig'}"
            )
        if yours := [name for name in _BACK_ENDS if name not in outside and getattr(settings, name).external]:
            names = ", ".join(f"{name}.external" for name in yours)
            raise UserError(f"faults are for what the stack has built, and {names} is yours")
        self.settings = settings
        self.namespace = settings.cluster.namespace
        self.store = endpoints.TRACE_QUERY[settings.traces.backend][0]
        client = connect(settings.cluster)
        self._stores = Stores(settings=settings, client=client)
        self._core = kubernetes.client.CoreV1Api(client)
        self._apps = kubernetes.client.AppsV1Api(client)

    def address(self, service: str) -> str:
        """Cluster address of a Service, which this machine reaches, being the node."""
        return str(self._core.read_namespaced_service(service, self.namespace).spec.cluster_ip)

    def stack_key(self) -> str:
        """API key for the gateway; empty if it needs none."""
        return self._stores.stack_key()

    def pods(self, name: str) -> list[Any]:
        """The pods of a workload, by name."""
        selector = ",".join(f"{key}={value}" for key, value in metadata.selector(name).items())
        pods = self._core.list_namespaced_pod(self.namespace, label_selector=selector).items
        return sorted(pods, key=lambda pod: str(pod.metadata.name))

    def ready(self, name: str) -> list[Any]:
        """The pods of a workload that are ready and not terminating."""
        return [
            pod
            for pod in self.pods(name)
            if pod.metadata.deletion_timestamp is None
            and any(status.type == "Ready" and status.status == "True" for status in pod.status.conditions or [])
        ]

    def wait_ready(self, name: str, count: int) -> None:
        """Waits until a workload has exactly this many pods, all of them ready."""

        self._poll_until(
            f"{name} to have {count} ready pods", lambda: len(self.pods(name)) == len(self.ready(name)) == count
        )

    def kill(self, pod: Any) -> None:
        """SIGKILL of the pod's main process, then a new pod at once: no back-off, which would test the kubelet."""
        os.kill(self.process(pod), signal.SIGKILL)
        self.replace(pod, grace_seconds=0)

    def replace(self, pod: Any, *, grace_seconds: int | None = None) -> None:
        """Deletes a pod, gracefully unless `grace_seconds` is 0, and waits for a new one of its name."""
        name = str(pod.metadata.name)
        with contextlib.suppress(kubernetes.client.ApiException):
            self._core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=grace_seconds)

        def is_replaced() -> bool:
            pods = {str(new.metadata.name): new.metadata.uid for new in self.pods(self.workload(pod))}
            return bool(pods.get(name, pod.metadata.uid) != pod.metadata.uid)

        self._poll_until(f"a new pod {name}", is_replaced)

    def workload(self, pod: Any) -> str:
        """Name of a pod's workload."""
        return str(pod.metadata.labels["app.kubernetes.io/name"])

    def process(self, pod: Any) -> int:
        """Id, on this machine, of the first process of a pod's main container."""
        # A container that has not started has no id, and a new pod no status of its containers.
        statuses = pod.status.container_statuses or []
        container = (statuses[0].container_id or "").rpartition("/")[2] if statuses else ""
        processes = processes_of(str(pod.metadata.uid), container) if container else []
        if not processes:
            raise LookupError(f"no process of {pod.metadata.name} on this machine")
        return processes[0]

    def scale(self, name: str, replicas: int) -> None:
        """Scales a StatefulSet, and waits for its pods."""
        self._apps.patch_namespaced_stateful_set_scale(name, self.namespace, {"spec": {"replicas": replicas}})
        self.wait_ready(name, replicas)

    def replicas(self, name: str) -> int:
        """The number of pods that a Deployment or StatefulSet declares."""
        return int(
            getattr(self._apps, f"read_namespaced_{self._kind(name)}_scale")(name, self.namespace).spec.replicas or 0
        )

    def set_replicas(self, name: str, replicas: int) -> None:
        """Scales a Deployment or StatefulSet, and does not wait."""
        patch = getattr(self._apps, f"patch_namespaced_{self._kind(name)}_scale")
        patch(name, self.namespace, {"spec": {"replicas": replicas}})

    def end(self, pod: Any) -> None:
        """SIGKILL of the pod's main process; deletes the pod, and does not wait for another one."""
        with contextlib.suppress(LookupError, ProcessLookupError):
            os.kill(self.process(pod), signal.SIGKILL)
        with contextlib.suppress(kubernetes.client.ApiException):
            self._core.delete_namespaced_pod(str(pod.metadata.name), self.namespace, grace_period_seconds=0)

    def restart(self, name: str) -> None:
        """Rolls a workload, as `kubectl rollout restart` does, and waits until it has rolled."""
        annotations = {_RESTARTED: datetime.now(UTC).isoformat()}
        body = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        kind = self._kind(name)
        patched = getattr(self._apps, f"patch_namespaced_{kind}")(name, self.namespace, body)

        def is_rolled() -> bool:
            workload = getattr(self._apps, f"read_namespaced_{kind}")(name, self.namespace)
            return _is_complete(workload, patched.metadata.generation)

        self._poll_until(f"all pods of {name} to restart", is_rolled, seconds=_ROLL_SECONDS)

    def workloads(self) -> list[str]:
        """Names of the Deployments and StatefulSets."""
        return sorted(str(workload.metadata.name) for workload in self._workloads())

    def not_ready(self) -> list[str]:
        """Names of the nodes that are not ready or take no pods, and of the workloads that lack a ready pod."""
        nodes = [str(node.metadata.name) for node in self._core.list_node().items if not _takes_pods(node)]
        workloads = [
            str(workload.metadata.name)
            for workload in self._workloads()
            if not _is_complete(workload, workload.metadata.generation)
        ]
        return [*nodes, *workloads]

    def _workloads(self) -> list[Any]:
        return [
            *self._apps.list_namespaced_deployment(self.namespace).items,
            *self._apps.list_namespaced_stateful_set(self.namespace).items,
        ]

    def _kind(self, workload: str) -> str:
        deployments = self._apps.list_namespaced_deployment(self.namespace).items
        return "deployment" if workload in {item.metadata.name for item in deployments} else "stateful_set"

    def queued(self) -> float:
        """Spans in the queues of all Collectors; raises httpx.HTTPError where one does not answer."""
        return sum(_sum(self._metrics(pod), SENDING_QUEUE_SIZE) for pod in self.ready(endpoints.COLLECTOR))

    def wait_drained(self, pod: Any) -> None:
        """Waits until a Collector that began with an empty queue has sent on all that it accepted.

        The size of its queue is no measure: spans refused for lack of disk stay in it until the next span arrives.
        """

        def is_drained() -> bool:
            text = self._metrics(pod)
            accepted, sent = (_sum(text, f"otelcol_{name}_spans") for name in ("receiver_accepted", "exporter_sent"))
            if accepted != sent:
                raise CheckFailure(f"it accepted {accepted:.0f} spans and sent {sent:.0f}")
            return True

        self._poll_until(
            f"{pod.metadata.name} to send all that it accepted",
            is_drained,
            look_at=f"kubectl -n {self.namespace} logs {pod.metadata.name}",
        )

    def _poll_until(
        self, what: str, probe: Callable[[], bool], look_at: str = "", seconds: float = READY_SECONDS
    ) -> None:
        look_at = look_at or f"kubectl -n {self.namespace} get pods"
        poll_until(what, probe, seconds=seconds, every=0.25, look_at=look_at)

    @staticmethod
    def _metrics(pod: Any) -> str:
        url = f"http://{pod.status.pod_ip}:{endpoints.COLLECTOR_TELEMETRY_PORT}/metrics"
        return httpx.get(url, timeout=5).raise_for_status().text

    @contextlib.contextmanager
    def dropped(self, pod: Any, chain: str, *ports: int) -> Iterator[None]:
        """Drops the pod's packets of one direction (INPUT, OUTPUT) to TCP ports while the context is open."""
        process, listed = self.process(pod), ",".join(map(str, ports))
        rule = (chain, "--protocol", "tcp", "--match", "multiport", "--dports", listed, "--jump", "DROP")
        filter_packets(process, "--insert", rule)
        try:
            yield
        finally:
            # If the pod has ended meanwhile, its rules are gone.
            with contextlib.suppress(subprocess.CalledProcessError):
                filter_packets(process, "--delete", rule)

    def volume(self, pod: Any) -> SmallVolume:
        """The small volume that can be mounted in place of a pod's volume."""
        claim = self._core.read_namespaced_persistent_volume_claim(f"data-{pod.metadata.name}", self.namespace)
        return SmallVolume(Path(self._core.read_persistent_volume(claim.spec.volume_name).spec.local.path))

    @contextlib.contextmanager
    def small_volume(self, pod: Any, mebibytes: int) -> Iterator[SmallVolume]:
        """Mounts a small file system at a pod's volume, for the pods that start while the context is open."""
        volume = self.volume(pod)
        volume.unmount()  # an earlier run may have been killed
        try:
            volume.mount(mebibytes)
            yield volume
        finally:
            volume.unmount()


def processes_of(uid: str, container: str = "") -> list[int]:
    """Ids, on this machine, of the processes of a pod, or of one of its containers; ascending."""
    uids = {uid, uid.replace("-", "_")}
    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                group = (entry / "cgroup").read_text()
                if container in group and any(text in group for text in uids):
                    processes.append(int(entry.name))
    return sorted(processes)


def filter_packets(process: int, action: str, rule: Sequence[str]) -> None:
    """Inserts (`--insert`) or deletes (`--delete`) a rule of iptables in the network namespace of a process."""
    enter = ["nsenter", "--net", f"--target={process}", "iptables", "--wait"]
    subprocess.run([*enter, action, *rule], check=True, capture_output=True)


def _is_complete(workload: Any, generation: int) -> bool:
    """Whether all declared pods of a workload are of its latest version, and available."""
    status, replicas = workload.status, workload.spec.replicas
    return bool(
        (status.observed_generation or 0) >= generation
        and status.updated_replicas == status.available_replicas == replicas
        # A Deployment counts pods of the earlier version, too, while they are replaced.
        and status.replicas == replicas
    )


def _takes_pods(node: Any) -> bool:
    is_ready = any(status.type == "Ready" and status.status == "True" for status in node.status.conditions or [])
    return is_ready and not node.spec.unschedulable


def _sum(metrics: str, name: str) -> float:
    """Sum of a metric's samples that are about spans."""
    samples = re.findall(rf"^{name}(?:_total)?\{{([^}}]*)\}} (\S+)", metrics, re.MULTILINE)
    return sum(float(value) for labels, value in samples if 'data_type="' not in labels or "traces" in labels)
