"""Starts, repairs, inspects and removes the cluster."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local import mounts, network, pki, processes
from local.api import Api
from local.cgroups import ControlGroup
from local.components import Component, control_plane
from local.configuration import has_upstream_dns, write_control_plane
from local.containerd import Containerd, remove_pod_records, remove_shim_sockets
from local.failure import Failure
from local.files import exclusive_lock
from local.health import answers
from local.host import Host
from local.jobs import Progress
from local.layout import DNS_READY_PORT, MAX_NODES
from local.nodes import ALL_NODES, Node, first_nodes, node_named
from local.objects import apply_objects
from local.paths import Home
from local.supervisor import Supervisor

LOCK_LIMIT = 600.0
API_LIMIT = 120.0
NODE_LIMIT = 120.0
DNS_LIMIT = 60.0
# No setting of the kubelet changes these paths: links to the pods' logs, and the socket for device plugins.
CONTAINER_LOGS = Path("/var/log/containers")
DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")

IS_DOWN = "the local cluster is down. Bring it up with `./wct cluster up`."


@dataclass(frozen=True, kw_only=True)
class Status:
    """What runs.

    Each component is "running", "dead", or "outdated": it runs, but its files or flags have changed since its start.
    """

    components: Mapping[str, str]
    api_ready: bool
    nodes_ready: Mapping[str, bool]

    @property
    def is_up(self) -> bool:
        """Whether everything runs, as it does after `up`."""
        return self.api_ready and all(self.nodes_ready.values()) and set(self.components.values()) == {"running"}


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """What is known of one node."""

    node: Node
    runs: bool
    cut_off: bool
    ready: bool
    schedulable: bool

    @property
    def description(self) -> str:
        """Its state in a few words."""
        condition = "ready" if self.ready else "not ready"
        faults = {
            "killed": not self.runs,
            "cut off": self.cut_off,
            "cordoned": not self.schedulable,
        }
        return ", ".join([condition, *(fault for fault, applies in faults.items() if applies)])


class Cluster:
    """A Kubernetes whose state is in one home. Every method may be called in every state."""

    def __init__(self, home: Home | None = None) -> None:
        self.home = home or Home.default()
        self._pods = ControlGroup(self.home.cgroup)
        self._api = Api(self.home.run / "pki")
        self._supervisor = Supervisor(self.home)
        # Not in `run`, so that a user who deletes `run` by hand does not lose it.
        self._original_state = self.home.root / "before.json"

    def up(self, progress: Progress, count: int | None = None) -> None:
        """Makes the cluster ready: starts it, or repairs it; a cluster that is ready stays as it is.

        A cluster that cannot be repaired, from before a reboot, or with keys that are about to expire is replaced by a
        new one.

        Args:
            progress: shows the steps.
            count: number of nodes; by default as many as the cluster has, and 1 for a new cluster.

        Raises:
            Failure: says what is wrong and what to do.
        """
        for program in ("kubernetes", "pause"):
            if not (self.home.bin / program).exists():
                raise Failure(f"{self.home.bin / program} is not built yet. Run `./wct cluster up`, which builds it.")
        with self._locked(progress):
            hosts = [Host(self.home, node) for node in self.planned_nodes(count)]
            repairing = self.home.run.exists()
            if repairing and (reason := self._reason_to_replace()):
                progress.note(f"making a new cluster: {reason}")
                self._clean(progress)
                repairing = False
            try:
                self._reconcile(progress, hosts)
            except Failure as failure:
                if not repairing:
                    raise
                progress.note(f"making a new cluster, since this one could not be repaired: {failure}")
                self._clean(progress)
                self._reconcile(progress, hosts)

    def down(self, progress: Progress) -> None:
        """Stops the cluster and removes all that it created on the machine, its data too. Images stay."""
        with self._locked(progress):
            self._clean(progress)

    def nodes(self) -> tuple[Node, ...]:
        """The nodes that the cluster has, whether they run or not."""
        return tuple(node for node in ALL_NODES if Host(self.home, node).exists())

    def planned_nodes(self, count: int | None) -> tuple[Node, ...]:
        """The nodes that `up` brings up.

        Raises:
            Failure: `count` is out of range, or the cluster has more nodes.
        """
        if count is not None and not 1 <= count <= MAX_NODES:
            raise Failure(f"{count} nodes were asked for; the local cluster has 1 to {MAX_NODES}.")
        existing = len(self.nodes())
        if count is not None and count < existing:
            raise Failure(
                f"the cluster has {existing} nodes, and a node is not removed while volumes may be on it. "
                "Run `make down` first, or ask for that many nodes."
            )
        return first_nodes(max(existing, count or 1))

    def start_node(self, progress: Progress, name: str) -> None:
        """Brings back a node that was killed, cut off or drained."""
        with self._locked_host(progress, name) as host:
            self._reconcile(progress, [host])
            self._api.make_schedulable(name)

    def kill_node(self, progress: Progress, name: str) -> None:
        """Ends a node as if it had lost its power. The control plane runs on."""
        with self._locked_host(progress, name) as host:
            host.kill()

    def cut_node(self, progress: Progress, name: str) -> None:
        """Takes a node off the network; its pods run on."""
        with self._locked_host(progress, name) as host:
            host.cut()

    def heal_node(self, progress: Progress, name: str) -> None:
        """Gives the network back to a node that was cut off."""
        with self._locked_host(progress, name) as host:
            host.set_up()

    def node_status(self) -> list[NodeStatus]:
        """What is known of each node; empty if the cluster is down."""
        statuses = []
        for node in self.nodes():
            host, state = Host(self.home, node), self._api.node_state(node.name)
            statuses.append(
                NodeStatus(
                    node=node,
                    runs=host.runs(),
                    cut_off=host.is_cut_off(),
                    ready=state.ready,
                    schedulable=state.schedulable,
                )
            )
        return statuses

    def status(self) -> Status:
        """What runs now."""
        nodes = self.nodes() or first_nodes(1)
        hosts = [Host(self.home, node) for node in nodes]
        running = self._supervisor.running()
        usable = pki.is_usable(self.home.run / "pki")
        return Status(
            components={
                component.name: self._supervisor.state(component, running) for component in self._components(hosts)
            },
            api_ready=usable and self._api.is_ready(),
            nodes_ready={node.name: usable and self._api.node_state(node.name).ready for node in nodes},
        )

    def was_up(self) -> bool:
        """Whether there was an `up` that no `down` has followed, so that the machine may be changed."""
        return self._original_state.exists()

    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig.

        Raises:
            Failure: the cluster is down.
        """
        if not self.home.kubeconfig.exists():
            raise Failure(IS_DOWN)
        return self.home.kubeconfig

    def log(self, component: str) -> Path:
        """The log of a component.

        Raises:
            Failure: there is none; the message lists the logs.
        """
        path = self.home.run / "logs" / f"{component}.log"
        if not path.exists():
            logs = self.home.run / "logs"
            known = sorted(str(file.relative_to(logs).with_suffix("")) for file in logs.rglob("*.log"))
            names = ", ".join(known) or "none, the cluster is down"
            raise Failure(f"there is no log of {component!r}. Logs: {names}")
        return path

    def containerds(self) -> Mapping[str, Containerd]:
        """Node → container runtime of each node that runs, at least one.

        Raises:
            Failure: the cluster is down.
        """
        hosts = [Host(self.home, node) for node in self.nodes()]
        runtimes = {host.node.name: host.containerd for host in hosts if host.containerd.answers()}
        if not runtimes:
            raise Failure(IS_DOWN)
        return runtimes

    def _reason_to_replace(self) -> str | None:
        original = network.MachineState.load(self._original_state)
        if original is None:
            return "an earlier `up` ended before it had noted the state of the machine"
        if original.boot != network.boot_id():
            return "the machine was restarted, which removed a part of the cluster's state"
        keys = self.home.run / "pki"
        if keys.exists() and not pki.is_usable(keys):
            return "its certificates are incomplete, have expired, or will soon"
        return None

    def _reconcile(self, progress: Progress, hosts: Sequence[Host]) -> None:
        """Does the steps that are not done yet, so that it continues where an earlier call ended."""
        run = self.home.run
        run.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._original_state.exists():  # before the first change, since `down` restores this state
            network.load_bridge_filter()
            network.MachineState.now().save(self._original_state)
        is_new = not (run / "etcd").exists()
        if not (run / "pki").exists():
            pki.create(run / "pki")
        write_control_plane(self.home, upstream_dns=has_upstream_dns())
        self._pods.create()
        running = self._supervisor.running()
        existing = [host for host in hosts if host.exists()]
        source = self._image_source(hosts, running)
        for host in hosts:
            host.set_up()

        components = {component.name: component for component in self._components(hosts)}
        dead = [component.name for component in self._components(existing) if component.name not in running]
        if not is_new and dead:
            progress.note(f"starting {', '.join(sorted(dead))}, which had stopped")
        self._supervisor.stop_outdated(progress, components.values())
        for host in hosts:
            host.start_runtime()
        for name in ("etcd", "apiserver"):
            self._supervisor.start(components[name])
        for host in hosts:
            host.prepare_images(progress, None if host.node == source.node else source.containerd)
            host.start("kubelet")
        self._wait(progress, "the API server", self._api.is_ready, ("apiserver", "etcd"), API_LIMIT)
        # These exit if no API server answers, and a ready node needs none of them. So they start after it.
        for name in ("controllers", "scheduler", "dns"):
            self._supervisor.start(components[name])
        apply_objects(self._api, self.home, (host.node for host in hosts))
        for host in hosts:
            host.start_network(progress)
        for host in hosts:
            self._wait_for_node(progress, host)
        self._wait(progress, "cluster DNS", lambda: answers("127.0.0.1", DNS_READY_PORT, "/ready"), ("dns",), DNS_LIMIT)
        self._supervisor.check_alive(components)

    def _image_source(self, hosts: Sequence[Host], running: Mapping[str, str]) -> Host:
        """The node whose images the nodes that start get: one that has run since the last load, or the first."""
        nodes = [Host(self.home, node) for node in self.nodes()]
        return next((host for host in nodes if f"{host.node.name}/containerd" in running), hosts[0])

    def _wait_for_node(self, progress: Progress, host: Host) -> None:
        # A node stays ready for some time after its kubelet has stopped, so ask the kubelet too.
        host.wait(progress)
        name = host.node.name
        needs = (f"{name}/kubelet", f"{name}/containerd")
        self._wait(progress, f"node {name} to be ready", lambda: self._api.node_state(name).ready, needs, NODE_LIMIT)

    @contextlib.contextmanager
    def _locked_host(self, progress: Progress, name: str) -> Iterator[Host]:
        """Holds the lock, and finds a node.

        Raises:
            Failure: there is no such node, or the cluster is down.
        """
        with self._locked(progress):
            nodes = self.nodes()
            if not nodes:
                raise Failure(IS_DOWN)
            yield Host(self.home, node_named(name, nodes))

    def _components(self, hosts: Sequence[Host]) -> Sequence[Component]:
        return [*control_plane(self.home), *(component for host in hosts for component in host.components())]

    def _wait(
        self, progress: Progress, description: str, is_ready: Callable[[], bool], needs: Sequence[str], timeout: float
    ) -> None:
        self._supervisor.wait(progress, description, is_ready, needs, timeout)

    def _clean(self, progress: Progress) -> None:
        """Kills all processes, without a graceful shutdown, since their state is deleted; then removes the rest."""
        run = self.home.run
        original = network.MachineState.load(self._original_state)
        progress.step("killing the components")
        # containerd and its shims come last: a kubelet that runs would start again what was killed.
        names = {process.component for process in processes.find(run)}
        survivors = processes.stop(run, {name for name in names if not name.endswith("containerd")})
        progress.step("killing the pods")
        groups_removed = self._pods.remove()
        survivors += processes.stop(run)
        groups_removed = self._pods.remove() and groups_removed
        progress.step("removing mounts, links and firewall rules")
        mounted = mounts.unmount_below(run)
        network.tear_down(original)
        leftovers = [f"process {process.pid} ({process.component})" for process in survivors]
        leftovers += [f"mount {point}" for point in mounted]
        leftovers += [] if groups_removed else ["control groups"]
        if leftovers:
            raise Failure(
                f"cannot remove {', '.join(leftovers)}. Restart the machine, then run the same command again."
            )
        progress.step("removing files")
        self._remove_files(was_set_up=original is not None)

    def _remove_files(self, *, was_set_up: bool) -> None:
        run = self.home.run
        for link in CONTAINER_LOGS.glob("*.log"):
            if link.is_symlink() and link.readlink().is_relative_to(run):
                link.unlink()
        if was_set_up:
            (DEVICE_PLUGINS / "kubelet.sock").unlink(missing_ok=True)
            for directory in (CONTAINER_LOGS, DEVICE_PLUGINS, DEVICE_PLUGINS.parent):
                with contextlib.suppress(OSError):  # it does not exist, or has files of another program
                    directory.rmdir()
        for node in self.nodes():
            remove_shim_sockets(self.home.node(node.name) / "containerd")
            remove_pod_records(self.home.image_store(node.number))
        shutil.rmtree(run, ignore_errors=True)
        if run.exists():
            shutil.rmtree(run)
        self._original_state.unlink(missing_ok=True)

    def _locked(self, progress: Progress) -> contextlib.AbstractContextManager[None]:
        """Allows one change of the cluster at a time."""
        return exclusive_lock(self.home.lock, progress, holder="another command on the cluster", timeout=LOCK_LIMIT)
