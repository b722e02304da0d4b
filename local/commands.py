"""The commands of the local cluster."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from local.build import build_kubectl, cluster_jobs
from local.cluster import Cluster
from local.failure import Failure
from local.jobs import Job, Progress, run_jobs
from local.preflight import require


def up() -> None:
    """Builds what is missing and brings the cluster up; repairs a broken one.

    Raises:
        Failure: names what is wrong and what to do.
    """
    cluster = Cluster()
    require(cluster)
    run_jobs(cluster_jobs(cluster.home))
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
        print(f"{component:12} {state}")
    print(f"{'API':12} {'ready' if status.api_ready else 'not ready'}")
    print(f"{'node':12} {'ready' if status.node_ready else 'not ready'}")
    return status.is_up


def kubeconfig() -> None:
    """Prints the path of the administrator's kubeconfig."""
    print(Cluster().kubeconfig())


def import_archives(archives: Sequence[Path]) -> None:
    """Imports image archives into the node.

    Raises:
        Failure: an archive does not exist, or cannot be imported.
    """
    cluster = Cluster()
    for archive in archives:
        if not archive.is_file():
            raise Failure(f"there is no file {archive}")
        cluster.containerd().load(Progress("load", logs=cluster.home.logs), archive)
        print(f"loaded {archive}")


def list_node_images() -> None:
    """Prints the references of the node's images."""
    print("\n".join(Cluster().containerd().images()))


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
