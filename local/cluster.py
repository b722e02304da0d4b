"""Starts the local cluster from any state, stops it without a trace, and answers questions about it."""

import contextlib
import fcntl
import http.client
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from local import cgroups, mounts, network, pki, processes
from local.api import Api
from local.components import Component, components, has_upstream_dns, write_files
from local.containerd import Containerd, forget_pods, remove_shim_sockets, write_archive
from local.failure import Failure
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
# Fixed in the kubelet: links to the pods' logs, and the socket for device plugins.
CONTAINER_LOGS = Path("/var/log/containers")
DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")


@dataclass(frozen=True, kw_only=True)
class Status:
    """What runs: `components` maps each to "running", "dead" or "outdated" (was started from other files)."""

    components: dict[str, str]
    api_ready: bool
    node_ready: bool

    @property
    def is_up(self) -> bool:
        """Whether everything is as `up` leaves it."""
        return self.api_ready and self.node_ready and set(self.components.values()) == {"running"}

    @property
    def is_down(self) -> bool:
        """Whether nothing runs."""
        return set(self.components.values()) == {"dead"}


class Cluster:
    """A single-node Kubernetes whose state is below one home. Every method may be called in any state of it."""

    def __init__(self, home: Home | None = None) -> None:
        self.home = home or Home.default()
        self._api = Api(self.home.run / "pki")
        self._containerd = Containerd(self.home.run / "containerd.sock")
        self._before = self.home.root / "before.json"  # outside of `run`, so that deleting that by hand loses nothing

    def up(self, progress: Progress) -> None:
        """Makes the cluster ready: starts it, repairs what is dead in it, or does nothing when all is well.

        State that cannot be trusted (from before a reboot, expiring keys) or repaired is removed and created again.
        """
        for program in ("kubernetes", "pause"):
            if not (self.home.bin / program).exists():
                raise Failure(f"{self.home.bin / program} is not built yet. Run `./wct cluster up`, which builds it.")
        with self._locked(progress):
            repairing = self.home.run.exists()
            if repairing and (reason := self._reason_to_start_afresh()):
                progress.note(f"starting afresh: {reason}")
                self._clean(progress)
                repairing = False
            try:
                self._reconcile(progress)
            except Failure as failure:
                if not repairing:
                    raise
                progress.note(f"could not be repaired, starting afresh: {failure}")
                self._clean(progress)
                self._reconcile(progress)

    def down(self, progress: Progress) -> None:
        """Ends the cluster and removes everything it put on the machine, its data included; keeps images."""
        with self._locked(progress):
            self._clean(progress)

    def status(self) -> Status:
        """Looks, and changes nothing."""
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
        """Whether something of ours may be on the machine, from an `up` that no `down` has followed."""
        return self._before.exists()

    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig. Failure if the cluster is down."""
        if not self.home.kubeconfig.exists():
            raise Failure("the local cluster is down. Bring it up with `./wct cluster up`.")
        return self.home.kubeconfig

    def log(self, component: str) -> Path:
        """A component's log."""
        path = self.home.run / "logs" / f"{component}.log"
        if not path.exists():
            known = ", ".join(sorted(file.stem for file in path.parent.glob("*.log"))) or "none: the cluster is down"
            raise Failure(f"there is no log of {component!r}. Logs: {known}")
        return path

    def load_image(self, progress: Progress, archive: Path) -> None:
        """Imports an image archive into the node."""
        self._need_containerd()
        self._containerd.load(progress, archive)

    def has_image(self, reference: str) -> bool:
        """Whether the node has the image (full reference, as in docker.io/library/postgres:15)."""
        self._need_containerd()
        return self._containerd.has(reference)

    def list_images(self) -> list[str]:
        """References of the node's images."""
        self._need_containerd()
        return self._containerd.images()

    def image_pull(self, progress: Progress, reference: str, timeout: float) -> None:
        """Pulls an image into the node; Failure if that has not succeeded after `timeout` seconds."""
        self._need_containerd()
        self._containerd.pull(progress, reference, timeout)

    def _reason_to_start_afresh(self) -> str | None:
        previous = network.Before.load(self._before)
        if previous is None:
            return "an earlier try ended before it began"
        if previous.boot != network.boot_id():
            return "the machine was restarted, which leaves the cluster's state half there"
        keys = self.home.run / "pki"
        if keys.exists() and not pki.is_usable(keys):
            return "its certificates have expired or will soon"
        return None

    def _reconcile(self, progress: Progress) -> None:
        """Every step looks whether it is done already, so that this may follow an end at any point."""
        run = self.home.run
        run.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._before.exists():  # first of all: what is changed below is put back from it
            network.load_bridge_filter()
            network.Before.now().save(self._before)
        fresh = not (run / "etcd").exists()
        if not (run / "pki").exists():
            pki.create(run / "pki")
        write_files(self.home, cni_directory=cni_directory(), upstream_dns=has_upstream_dns())
        cgroups.create()
        network.set_up()

        declared = {component.name: component for component in self._components()}
        if not fresh and (dead := sorted(set(declared) - self._running())):
            progress.note(f"starting stopped components: {', '.join(dead)}")
        self._stop_outdated(progress, declared.values())
        if fresh:
            forget_pods(self.home.containerd)
        self._start(declared, "containerd", "etcd", "apiserver")
        self._wait(progress, "containerd", self._containerd.answers, ("containerd",), CONTAINERD_LIMIT)
        if fresh:
            self._containerd.purge()
        self._load_pause(progress)
        self._start(declared, "kubelet")
        self._wait(progress, "the API server", self._api.is_ready, ("apiserver", "etcd"), API_LIMIT)
        # Only now: these give up when they find no API server, and none of them is on the way to a ready node.
        self._start(declared, "controllers", "scheduler", "proxy", "dns")
        apply_objects(self._api, run / "volumes")
        # A node stays "ready" for a while after its kubelet is gone, so ask the kubelet too.
        self._wait(progress, "the kubelet", lambda: _answers(KUBELET_HEALTH_PORT, "/healthz"), ("kubelet",), NODE_LIMIT)
        self._wait(progress, f"node {NODE} to be ready", self._api.node_is_ready, ("kubelet", "containerd"), NODE_LIMIT)
        self._wait(progress, "cluster DNS", lambda: _answers(DNS_READY_PORT, "/ready"), ("dns",), DNS_LIMIT)
        self._check_alive(tuple(declared))

    def _components(self) -> Sequence[Component]:
        return components(
            self.home,
            containerd=shutil.which("containerd") or "containerd",
            masquerade_all=not network.bridge_filter_works(),
        )

    def _stop_outdated(self, progress: Progress, declared: Iterable[Component]) -> None:
        """Only the components themselves: pods live on without their containerd or kubelet for a while."""
        running = {process.component: process for process in processes.find(self.home.run) if process.leads}
        outdated = [
            component.name
            for component in declared
            if component.name in running and running[component.name].fingerprint != component.fingerprint()
        ]
        if outdated:
            progress.note(f"restarting {', '.join(outdated)} with what has changed since")
            processes.stop(self.home.run, outdated, leaders=True, grace=5)

    def _start(self, declared: dict[str, Component], *names: str) -> None:
        running = self._running()
        for name in names:
            if name not in running:
                component = declared[name]
                log = self.home.run / "logs" / f"{name}.log"
                processes.start(self.home.run, name, component.fingerprint(), component.command, log)

    def _running(self) -> set[str]:
        return {process.component for process in processes.find(self.home.run) if process.leads}

    def _load_pause(self, progress: Progress) -> None:
        if not self._containerd.has(PAUSE_IMAGE):
            archive = self.home.run / "pause.tar"
            write_archive(archive, PAUSE_IMAGE, self.home.bin / "pause", ["/pause"])
            self._containerd.load(progress, archive)
            archive.unlink()

    def _wait(
        self, progress: Progress, what: str, ready: Callable[[], bool], responsible: tuple[str, ...], timeout: float
    ) -> None:
        """Waits for something that the first of the responsible components reports; fails at once if one ends."""
        looked = time.monotonic()

        def ready_or_dead() -> bool:
            nonlocal looked
            if ready():
                return True
            if time.monotonic() - looked > 1:
                self._check_alive(responsible)
                looked = time.monotonic()
            return False

        log = self.home.run / "logs" / f"{responsible[0]}.log"
        progress.wait(what, ready_or_dead, timeout=timeout, log=log)

    def _check_alive(self, names: tuple[str, ...]) -> None:
        running = self._running()
        for name in names:
            if name not in running:
                raise Failure(f"{name} ended by itself.{quote(self.home.run / 'logs' / f'{name}.log')}")

    def _clean(self, progress: Progress) -> None:
        """Nothing is asked to end nicely: all state goes, and asking is what takes time."""
        run = self.home.run
        previous = network.Before.load(self._before)
        progress.step("ending the components")
        # containerd and its shims last: as long as a kubelet lives it would start what we end.
        others = {component.name for component in self._components()} - {"containerd"}
        left = processes.stop(run, others)
        progress.step("ending the pods")
        groups_gone = cgroups.remove()
        left += processes.stop(run)
        groups_gone = cgroups.remove() and groups_gone
        progress.step("removing mounts, bridge and firewall rules")
        still_mounted = mounts.undo(run)
        network.tear_down(previous)
        remains = [f"process {process.pid} ({process.component})" for process in left]
        remains += [f"mount {point}" for point in still_mounted]
        remains += [] if groups_gone else ["control groups"]
        if remains:
            raise Failure(f"could not remove: {', '.join(remains)}. Restart the machine, then run this again.")
        progress.step("removing its files")
        for link in CONTAINER_LOGS.glob("*.log"):
            if link.is_symlink() and link.readlink().is_relative_to(run):
                link.unlink()
        if previous:
            (DEVICE_PLUGINS / "kubelet.sock").unlink(missing_ok=True)
            for directory in (CONTAINER_LOGS, DEVICE_PLUGINS, DEVICE_PLUGINS.parent):
                with contextlib.suppress(OSError):  # it does not exist, or has files of another program
                    directory.rmdir()
        remove_shim_sockets(run / "containerd")
        forget_pods(self.home.containerd)
        shutil.rmtree(run, ignore_errors=True)
        if run.exists():
            shutil.rmtree(run)
        self._before.unlink(missing_ok=True)

    def _need_containerd(self) -> None:
        if not (self.home.run / "containerd.sock").exists():
            raise Failure("the local cluster is down. Bring it up with `./wct cluster up`.")

    @contextlib.contextmanager
    def _locked(self, progress: Progress) -> Iterator[None]:
        """One change of the cluster at a time. The lock ends with the process that holds it, however that ends."""
        self.home.root.mkdir(parents=True, exist_ok=True)
        with self.home.lock.open("w") as file:

            def acquire() -> bool:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                return True

            if not acquire():
                progress.wait("another `up` or `down` to end", acquire, timeout=LOCK_LIMIT)
            yield


def _answers(port: int, path: str) -> bool:
    """Whether a component's health check on loopback says that all is well."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
