"""One node on this machine: its files, network, control group and components."""

import shutil
from collections.abc import Sequence

from local import firewall, network, processes
from local.archive import write_program_archive
from local.cgroups import ControlGroup
from local.components import Component, node_components
from local.configuration import write_node
from local.containerd import Containerd, remove_pod_records, remove_shim_sockets
from local.failure import Failure
from local.health import answers
from local.jobs import Progress
from local.layout import KUBELET_HEALTH_PORT, PAUSE_IMAGE
from local.mounts import unmount_below
from local.namespace import MACHINE, Namespace
from local.nodes import Node
from local.packages import cni_directory
from local.paths import Home
from local.supervisor import Supervisor

CONTAINERD_LIMIT = 30.0
KUBELET_LIMIT = 120.0


class Host:
    """A node, as a machine that has a power switch and a network cable."""

    def __init__(self, home: Home, node: Node) -> None:
        self.node = node
        self._home = home
        self._files = home.node(node.name)
        self._namespace = Namespace(self._files / "network") if node.has_namespace else MACHINE
        self._pods = ControlGroup(f"{home.cgroup}/{node.name}")
        self._supervisor = Supervisor(home)
        self.containerd = Containerd(self._files / "containerd.sock")

    def exists(self) -> bool:
        """Whether an `up` has begun to make the node."""
        return self._files.exists()

    def components(self) -> Sequence[Component]:
        """Its components: containerd, kubelet, kube-proxy."""
        return node_components(
            self._home,
            self.node,
            containerd=shutil.which("containerd") or "containerd",
            masquerade_all=not network.bridge_filter_works(),
            queues_work=firewall.queues_work(),
        )

    def set_up(self) -> None:
        """Writes its files, and makes its control group and network; plugs it in if it was cut off."""
        write_node(self._home, self.node, cni_directory=cni_directory())
        self._pods.create()
        network.set_up(self.node, self._namespace)

    def start_runtime(self) -> None:
        """Starts containerd."""
        containerd = self._component("containerd")
        if self._is_new() and containerd.name not in self._supervisor.running():
            remove_pod_records(self._home.image_store(self.node.number))
        self._supervisor.start(containerd, self._namespace)

    def prepare_images(self, progress: Progress, source: Containerd | None) -> None:
        """Waits for containerd, and brings the images into it that the node needs.

        Args:
            progress: shows the steps.
            source: of another node, whose images this one gets too.
        """
        name = self._component("containerd").name
        self._supervisor.wait(progress, name, self.containerd.answers, (name,), CONTAINERD_LIMIT)
        if self._is_new():
            self.containerd.purge()
        if not self.containerd.has(PAUSE_IMAGE):
            archive = self._files / "pause.tar"
            write_program_archive(archive, PAUSE_IMAGE, self._home.bin / "pause")
            self.containerd.load(progress, archive)
            archive.unlink()
        if source:
            self.containerd.copy_images(progress, source)

    def start(self, name: str) -> None:
        """Starts one of its components."""
        self._supervisor.start(self._component(name), self._namespace)

    def start_network(self, progress: Progress) -> None:
        """Starts kube-proxy, and the program that enforces the NetworkPolicies if the kernel lets it."""
        self.start("proxy")
        if firewall.queues_work():
            self.start("policies")
        else:
            progress.note("the kernel cannot queue packets (NFQUEUE), so NetworkPolicies are not enforced")

    def wait(self, progress: Progress) -> None:
        """Waits for the kubelet to answer."""
        name = self._component("kubelet").name
        self._supervisor.wait(progress, name, self._kubelet_answers, (name,), KUBELET_LIMIT)

    def runs(self) -> bool:
        """Whether all its components run."""
        running = self._supervisor.running()
        return all(component.name in running for component in self.components())

    def cut(self) -> None:
        """Takes the node off the network.

        Raises:
            Failure: its network is that of the machine.
        """
        if not self.node.has_namespace:
            raise Failure(
                f"{self.node.name} uses the network of this machine and of the control plane, so it cannot be cut off."
            )
        network.cut_off(self.node)

    def is_cut_off(self) -> bool:
        """Whether it was taken off the network."""
        return self.node.has_namespace and network.is_cut_off(self.node)

    def kill(self) -> None:
        """Ends the node as a loss of power does.

        Its links are removed first, so that no process closes a connection in good order. Then every process of the
        node and of its pods gets SIGKILL.

        Files stay, as on a disk, except for those that a machine has in memory.

        Raises:
            Failure: something still runs or is mounted.
        """
        network.unplug(self.node, self._namespace)
        survivors = processes.stop(self._home.run, {component.name for component in self.components()})
        groups_removed = self._pods.remove()
        mounted = unmount_below(self._files)
        if survivors or mounted or not groups_removed:
            raise Failure(
                f"cannot end {self.node.name}: {len(survivors)} processes and {len(mounted)} mounts remain. Try again."
            )
        remove_shim_sockets(self._files / "containerd")
        for directory in ("containerd", "runc"):
            shutil.rmtree(self._files / directory, ignore_errors=True)

    def _is_new(self) -> bool:
        """Whether the kubelet has never started."""
        return not (self._files / "kubelet").exists()

    def _component(self, name: str) -> Component:
        return next(component for component in self.components() if component.name == f"{self.node.name}/{name}")

    def _kubelet_answers(self) -> bool:
        return answers(self.node.address, KUBELET_HEALTH_PORT, "/healthz")
