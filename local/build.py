"""The jobs that make the cluster: packages and programs in parallel, then the cluster."""

from functools import partial
from pathlib import Path

from local.cluster import Cluster
from local.golang import go_build, go_is_built
from local.jobs import Job, Progress
from local.layout import VERSION
from local.packages import install_packages
from local.paths import Home

MODULE = Path(__file__).parent / "kubernetes"


def cluster_jobs(home: Home | None = None, nodes: int | None = None) -> list[Job]:
    """The jobs of the cluster. A job that needs a ready node needs the job "cluster", the last one.

    "kubernetes" comes first because everything else waits for it longest.

    Args:
        home: where the cluster's files are.
        nodes: number of nodes; by default as many as the cluster has.
    """
    cluster = Cluster(home)
    bin_directory = cluster.home.bin
    return [
        Job("kubernetes", lambda progress: build_kubernetes(progress, bin_directory)),
        Job("packages", install_packages),
        Job("pause", lambda progress: build_pause(progress, bin_directory)),
        Job("cluster", partial(cluster.up, count=nodes), needs=("packages", "kubernetes", "pause")),
    ]


def build_kubernetes(progress: Progress, bin_directory: Path) -> None:
    """Compiles all of Kubernetes, etcd and CoreDNS into bin/kubernetes."""
    go_build(progress, MODULE, bin_directory / "kubernetes", ldflags=_ldflags(), quickly=["k8s.io/..."])


def build_pause(progress: Progress, bin_directory: Path) -> None:
    """Compiles the program that holds a pod's namespaces open."""
    go_build(progress, MODULE, bin_directory / "pause", package="./pause")


def build_kubectl(progress: Progress, bin_directory: Path) -> None:
    """Compiles kubectl. `up` does not need it, so it does not wait for it."""
    go_build(progress, MODULE, bin_directory / "kubectl", package="./kubectl", ldflags=_ldflags())


def is_built(bin_directory: Path) -> bool:
    """Whether all programs of the cluster are compiled."""
    return go_is_built(MODULE, bin_directory / "kubernetes", ldflags=_ldflags()) and go_is_built(
        MODULE, bin_directory / "pause", package="./pause"
    )


def _ldflags() -> str:
    """Sets the version that the components report, since a Go module has none."""
    major, minor, _ = VERSION.removeprefix("v").split(".")
    package = "k8s.io/component-base/version"
    values = {
        f"{package}.gitVersion": VERSION,
        f"{package}.gitMajor": major,
        f"{package}.gitMinor": minor,
        "k8s.io/client-go/pkg/version.gitVersion": VERSION,
    }
    return " ".join(f"-X {name}={value}" for name, value in values.items())
