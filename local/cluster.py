"""Starts, repairs, inspects and removes the cluster."""

import contextlib
import http.client
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local import mounts, network, pki, processes
from local.api import Api
from local.archive import write_program_archive
from local.cgroups import ControlGroup
from local.components import Component, components
from local.configuration import has_upstream_dns, write_files
from local.containerd import Containerd, remove_pod_records, remove_shim_sockets
from local.failure import Failure
from local.files import exclusive_lock
from local.jobs import Progress, quote
from local.layout import DNS_READY_PORT, KUBELET_HEALTH_PORT, NODE, PAUSE_IMAGE
from local.objects import apply_objects
from local.packages import cni_directory
from local.paths import Home

LOCK_LIMIT = 600.0
CONTAINERD_LIMIT = 30.0
API_LIMIT = 120.0
NODE_LIMIT = 120.0
DNS_LIMIT = 60.0
# No setting of the kubelet changes these paths: links to the pods' logs, and the socket for device plugins.
CONTAINER_LOGS = Path("/var/log/containers")
DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")

_IS_DOWN = "the local cluster is down. Bring it up with `./wct cluster up`."


@dataclass(frozen=True, kw_only=True)
class Status:
    """What runs.

    Each component is "running", "dead", or "outdated": it runs, but its files or flags have changed since its start.
    """

    components: Mapping[str, str]
    api_ready: bool
    node_ready: bool

    @property
    def is_up(self) -> bool:
        """Whether everything runs, as it does after `up`."""
        return self.api_ready and self.node_ready and set(self.components.values()) == {"running"}


class Cluster:
    """A single-node Kubernetes whose state is in one home. Every method may be called in every state."""

    def __init__(self, home: Home | None = None) -> None:
        self.home = home or Home.default()
        self._pods = ControlGroup(self.home.cgroup)
        self._api = Api(self.home.run / "pki")
        self._containerd = Containerd(self.home.run / "containerd.sock")
        # Not in `run`, so that a user who deletes `run` by hand does not lose it.
        self._original_state = self.home.root / "before.json"

    def up(self, progress: Progress) -> None:
        """Makes the cluster ready: starts it, or repairs it; a cluster that is ready stays as it is.

        A cluster that cannot be repaired, from before a reboot, or with keys that are about to expire is replaced by a
        new one.
        """
        for program in ("kubernetes", "pause"):
            if not (self.home.bin / program).exists():
                raise Failure(f"{self.home.bin / program} is not built yet. Run `./wct cluster up`, which builds it.")
        with self._locked(progress):
            repairing = self.home.run.exists()
            if repairing and (reason := self._reason_to_replace()):
                progress.note(f"making a new cluster: {reason}")
                self._clean(progress)
                repairing = False
            try:
                self._reconcile(progress)
            except Failure as failure:
                if not repairing:
                    raise
                progress.note(f"making a new cluster, since this one could not be repaired: {failure}")
                self._clean(progress)
                self._reconcile(progress)

    def down(self, progress: Progress) -> None:
        """Stops the cluster and removes all that it created on the machine, its data too. Images stay."""
        with self._locked(progress):
            self._clean(progress)

    def status(self) -> Status:
        """What runs now."""
        running = {process.component: process for process in processes.find(self.home.run) if process.leads}
        states = {}
        for component in self._components():
            process = running.get(component.name)
            current = process is not None and process.fingerprint == component.fingerprint()
            states[component.name] = "running" if current else "outdated" if process else "dead"
        usable = pki.is_usable(self.home.run / "pki")
        return Status(
            components=states,
            api_ready=usable and self._api.is_ready(),
            node_ready=usable and self._api.node_is_ready(),
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
            raise Failure(_IS_DOWN)
        return self.home.kubeconfig

    def log(self, component: str) -> Path:
        """The log of a component.

        Raises:
            Failure: there is none; the message lists the logs.
        """
        path = self.home.run / "logs" / f"{component}.log"
        if not path.exists():
            names = ", ".join(sorted(file.stem for file in path.parent.glob("*.log"))) or "none, the cluster is down"
            raise Failure(f"there is no log of {component!r}. Logs: {names}")
        return path

    def containerd(self) -> Containerd:
        """The node's container runtime.

        Raises:
            Failure: the cluster is down.
        """
        if not (self.home.run / "containerd.sock").exists():
            raise Failure(_IS_DOWN)
        return self._containerd

    def _reason_to_replace(self) -> str | None:
        original = network.MachineState.load(self._original_state)
        if original is None:
            return "an earlier `up` ended before it had noted the state of the machine"
        if original.boot != network.boot_id():
            return "the machine was restarted, which removed a part of the cluster's state"
        keys = self.home.run / "pki"
        if keys.exists() and not pki.is_usable(keys):
            return "its certificates have expired, or will soon"
        return None

    def _reconcile(self, progress: Progress) -> None:
        """Does the steps that are not done yet, so that it continues where an earlier call ended."""
        run = self.home.run
        run.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._original_state.exists():  # before the first change, since `down` restores this state
            network.load_bridge_filter()
            network.MachineState.now().save(self._original_state)
        is_new = not (run / "etcd").exists()
        if not (run / "pki").exists():
            pki.create(run / "pki")
        write_files(self.home, cni_directory=cni_directory(), upstream_dns=has_upstream_dns())
        self._pods.create()
        network.set_up()

        all_components = {component.name: component for component in self._components()}
        if not is_new and (dead := sorted(set(all_components) - self._running())):
            progress.note(f"starting {', '.join(dead)}, which had stopped")
        self._stop_outdated(progress, all_components.values())
        if is_new:
            remove_pod_records(self.home.containerd)
        self._start(all_components, "containerd", "etcd", "apiserver")
        self._wait(progress, "containerd", self._containerd.answers, ("containerd",), CONTAINERD_LIMIT)
        if is_new:
            self._containerd.purge()
        self._load_pause(progress)
        self._start(all_components, "kubelet")
        self._wait(progress, "the API server", self._api.is_ready, ("apiserver", "etcd"), API_LIMIT)
        # These exit if no API server answers, and a ready node needs none of them. So they start after it.
        self._start(all_components, "controllers", "scheduler", "proxy", "dns")
        apply_objects(self._api, run / "volumes")
        # A node stays ready for some time after its kubelet has stopped, so ask the kubelet too.
        self._wait(progress, "the kubelet", lambda: _answers(KUBELET_HEALTH_PORT, "/healthz"), ("kubelet",), NODE_LIMIT)
        self._wait(progress, f"node {NODE} to be ready", self._api.node_is_ready, ("kubelet", "containerd"), NODE_LIMIT)
        self._wait(progress, "cluster DNS", lambda: _answers(DNS_READY_PORT, "/ready"), ("dns",), DNS_LIMIT)
        self._check_alive(tuple(all_components))

    def _components(self) -> Sequence[Component]:
        return components(
            self.home,
            containerd=shutil.which("containerd") or "containerd",
            masquerade_all=not network.bridge_filter_works(),
        )

    def _stop_outdated(self, progress: Progress, all_components: Iterable[Component]) -> None:
        """Stops the components alone: pods keep running without containerd and kubelet."""
        running = {process.component: process for process in processes.find(self.home.run) if process.leads}
        outdated = [
            component.name
            for component in all_components
            if component.name in running and running[component.name].fingerprint != component.fingerprint()
        ]
        if outdated:
            progress.note(f"restarting {', '.join(outdated)}, whose files or flags have changed")
            processes.stop(self.home.run, outdated, leaders=True, grace=5)

    def _start(self, all_components: Mapping[str, Component], *names: str) -> None:
        running = self._running()
        for name in names:
            if name not in running:
                component = all_components[name]
                log = self.home.run / "logs" / f"{name}.log"
                processes.start(self.home.run, name, component.fingerprint(), component.command, log)

    def _running(self) -> set[str]:
        return {process.component for process in processes.find(self.home.run) if process.leads}

    def _load_pause(self, progress: Progress) -> None:
        if not self._containerd.has(PAUSE_IMAGE):
            archive = self.home.run / "pause.tar"
            write_program_archive(archive, PAUSE_IMAGE, self.home.bin / "pause")
            self._containerd.load(progress, archive)
            archive.unlink()

    def _wait(
        self,
        progress: Progress,
        description: str,
        is_ready: Callable[[], bool],
        needs: tuple[str, ...],
        timeout: float,
    ) -> None:
        """Waits for a condition; fails at once if one of the components that it needs has ended.

        The error message quotes the log of the first component.
        """
        last_check = time.monotonic()

        def ready_or_dead() -> bool:
            nonlocal last_check
            if is_ready():
                return True
            if time.monotonic() - last_check > 1:
                self._check_alive(needs)
                last_check = time.monotonic()
            return False

        log = self.home.run / "logs" / f"{needs[0]}.log"
        progress.wait(description, ready_or_dead, timeout=timeout, log=log)

    def _check_alive(self, names: tuple[str, ...]) -> None:
        running = self._running()
        for name in names:
            if name not in running:
                raise Failure(f"{name} has exited.{quote(self.home.run / 'logs' / f'{name}.log')}")

    def _clean(self, progress: Progress) -> None:
        """Kills all processes, without a graceful shutdown, since their state is deleted; then removes the rest."""
        run = self.home.run
        original = network.MachineState.load(self._original_state)
        progress.step("killing the components")
        # containerd and its shims come last: a kubelet that runs would start again what was killed.
        others = {component.name for component in self._components()} - {"containerd"}
        survivors = processes.stop(run, others)
        progress.step("killing the pods")
        groups_removed = self._pods.remove()
        survivors += processes.stop(run)
        groups_removed = self._pods.remove() and groups_removed
        progress.step("removing mounts, bridge and firewall rules")
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
        remove_shim_sockets(run / "containerd")
        remove_pod_records(self.home.containerd)
        shutil.rmtree(run, ignore_errors=True)
        if run.exists():
            shutil.rmtree(run)
        self._original_state.unlink(missing_ok=True)

    def _locked(self, progress: Progress) -> contextlib.AbstractContextManager[None]:
        """Allows one change of the cluster at a time."""
        return exclusive_lock(self.home.lock, progress, holder="another `up` or `down`", timeout=LOCK_LIMIT)


def _answers(port: int, path: str) -> bool:
    """Whether a component's health check on loopback answers with status 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
