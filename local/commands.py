"""The commands of the local cluster."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from local.build import build_kubectl, cluster_jobs
from local.cluster import IS_DOWN, Cluster
from local.failure import Failure
from local.jobs import Job, Progress, run_jobs
from local.preflight import require


def up(nodes: int | None = None) -> None:
    """Builds what is missing and brings the cluster up; repairs a broken one.

    Args:
        nodes: number of nodes; by default as many as the cluster has.

    Raises:
        Failure: names what is wrong and what to do.
    """
    cluster = Cluster()
    require(cluster, nodes)
    run_jobs(cluster_jobs(cluster.home, nodes))
    print(f"up: export KUBECONFIG={cluster.kubeconfig()}")


def down() -> None:
    """Ends the cluster and everything that it has put on the machine; keeps the images.

    Raises:
        Failure: names what is wrong and what to do.
    """
    if os.geteuid() != 0:
        raise Failure("ending the cluster needs root. Run this with sudo.")
    cluster = Cluster()
    run_jobs([Job("down", cluster.down)], logs=cluster.home.logs)


def status() -> bool:
    """Prints what runs.

    Returns:
        Whether everything does.
    """
    status = Cluster().status()
    for component, state in status.components.items():
        print(f"{component:16} {state}")
    for name, ready in {"API": status.api_ready, **status.nodes_ready}.items():
        print(f"{name:16} {'ready' if ready else 'not ready'}")
    return status.is_up


def kubeconfig() -> None:
    """Prints the path of the administrator's kubeconfig."""
    print(Cluster().kubeconfig())


def import_archives(archives: Sequence[Path]) -> None:
    """Imports image archives into every node.

    Raises:
        Failure: an archive does not exist, or cannot be imported.
    """
    cluster = Cluster()
    for archive in archives:
        if not archive.is_file():
            raise Failure(f"there is no file {archive}")
        for containerd in cluster.containerds().values():
            containerd.load(Progress("load", logs=cluster.home.logs), archive)
        print(f"loaded {archive}")


def list_node_images() -> None:
    """Prints the references of the images that a node has; those of the first node that runs."""
    containerd = next(iter(Cluster().containerds().values()))
    print("\n".join(containerd.images()))


def logs(component: str, *, follow: bool = False, lines: int = 50) -> int:
    """Prints the end of a component's log.

    Returns:
        The exit code of `tail`.

    Raises:
        Failure: the component does not exist.
    """
    log = Cluster().log(component)
    return subprocess.call(["tail", f"--lines={lines}", *(["--follow=name"] if follow else []), str(log)])


def kubectl(arguments: Sequence[str]) -> int:
    """Runs kubectl on the cluster; builds it if there is none.

    Returns:
        Its exit code.
    """
    cluster = Cluster()
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig())}
    program = shutil.which("kubectl")
    if not program:
        build_kubectl(Progress("kubectl", logs=cluster.home.logs), cluster.home.bin)
        program = str(cluster.home.bin / "kubectl")
    return subprocess.call([program, *arguments], env=environment)


def list_nodes() -> None:
    """Prints each node with its zone, its address and its state.

    Raises:
        Failure: the cluster is down.
    """
    statuses = Cluster().node_status()
    if not statuses:
        raise Failure(IS_DOWN)
    for status in statuses:
        node = status.node
        print(f"{node.name:8} {node.zone:8} {node.address:12} {status.description}")


def start_node(name: str) -> None:
    """Brings back a node that was killed, cut off or drained.

    Raises:
        Failure: there is no such node, or it does not become ready.
    """
    _change(Cluster().start_node, name)
    print(f"{name} is ready")


def kill_node(name: str) -> None:
    """Ends a node as if it had lost its power.

    Raises:
        Failure: there is no such node, or a process of it does not end.
    """
    _change(Cluster().kill_node, name)
    print(
        f"{name} is killed: the API server notices after about 50 s. `./wct cluster node start {name}` brings it back"
    )


def cut_node(name: str) -> None:
    """Takes a node off the network.

    Raises:
        Failure: there is no such node, or it shares the machine's network.
    """
    _change(Cluster().cut_node, name)
    print(f"{name} is cut off. `./wct cluster node heal {name}` gives it the network back")


def heal_node(name: str) -> None:
    """Gives the network back to a node that was cut off.

    Raises:
        Failure: there is no such node.
    """
    _change(Cluster().heal_node, name)
    print(f"{name} has its network")


def drain_node(name: str, timeout: int) -> int:
    """Evicts the pods of a node, as far as their disruption budgets allow, and admits no new ones.

    Args:
        name: the node.
        timeout: seconds.

    Returns:
        The exit code of kubectl.
    """
    return kubectl(["drain", name, "--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={timeout}s"])


def _change(change: Callable[[Progress, str], None], name: str) -> None:
    change(Progress("node", logs=Cluster().home.logs), name)
