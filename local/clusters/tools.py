"""kind, k3d and minikube: the command lines that make a cluster in containers, load an image, remove the cluster."""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

import yaml

from local.clusters.engine import Engine
from local.clusters.programs import answer
from local.jobs import Progress
from local.paths import NAME

START_SECONDS: Final = 900
"""The first start pulls the image of a node."""
LOAD_SECONDS: Final = 600
REMOVE_SECONDS: Final = 300


class Tool(Protocol):
    """A program that runs clusters in containers of an engine of this machine."""

    def context(self, cluster: str) -> str:
        """The context that the program gives a cluster in the kubeconfig."""

    def start(self, progress: Progress, cluster: str, nodes: int, kubeconfig: Path) -> None:
        """Makes the cluster, or starts it, and writes its kubeconfig.

        Raises:
            Failure: the program failed; the message has its output.
        """

    def load(self, progress: Progress, cluster: str, reference: str) -> None:
        """Brings an image of the engine into the nodes.

        Raises:
            Failure: the program failed; the message has its output.
        """

    def remove(self, progress: Progress, cluster: str) -> None:
        """Removes the cluster; one that does not exist is no error.

        Raises:
            Failure: the program failed; the message has its output.
        """


class Kind:
    """kind: nodes are containers."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def context(self, cluster: str) -> str:
        return f"kind-{cluster}"

    def start(self, progress: Progress, cluster: str, nodes: int, kubeconfig: Path) -> None:
        environment = _of_kind(self.engine)
        names = answer(("kind", "get", "clusters"), env=environment)
        if cluster in (names or "").split():
            progress.run(
                ("kind", "export", "kubeconfig", "--name", cluster, "--kubeconfig", kubeconfig), env=environment
            )
            return
        roles = [{"role": "control-plane"}, *({"role": "worker"} for _ in range(nodes - 1))]
        document = {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": roles}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "kind.yaml")
            file.write_text(yaml.safe_dump(document))
            command = ("kind", "create", "cluster", "--name", cluster, "--config", file, "--kubeconfig", kubeconfig)
            progress.run((*command, "--wait", "180s"), env=environment, timeout=START_SECONDS)

    def load(self, progress: Progress, cluster: str, reference: str) -> None:
        # `kind load docker-image` asks Docker; an archive serves both engines.
        with self.engine.archive(progress, reference) as archive:
            command = ("kind", "load", "image-archive", archive, "--name", cluster)
            progress.run(command, env=_of_kind(self.engine), timeout=LOAD_SECONDS)

    def remove(self, progress: Progress, cluster: str) -> None:
        progress.run(
            ("kind", "delete", "cluster", "--name", cluster), env=_of_kind(self.engine), timeout=REMOVE_SECONDS
        )


def _of_kind(engine: Engine) -> Mapping[str, str]:
    return {"KIND_EXPERIMENTAL_PROVIDER": engine.program}


class K3d:
    """k3d: nodes are containers with k3s."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def context(self, cluster: str) -> str:
        return f"k3d-{cluster}"

    def start(self, progress: Progress, cluster: str, nodes: int, kubeconfig: Path) -> None:
        if answer(("k3d", "cluster", "get", cluster)) is None:
            command = ("k3d", "cluster", "create", cluster, "--agents", str(nodes - 1), "--wait", "--timeout", "300s")
            # Without these, k3d changes the user's kubeconfig and its current context.
            own = ("--kubeconfig-update-default=false", "--kubeconfig-switch-context=false")
            progress.run((*command, *own), timeout=START_SECONDS)
        else:
            progress.run(("k3d", "cluster", "start", cluster, "--wait", "--timeout", "300s"), timeout=START_SECONDS)
        progress.run(("k3d", "kubeconfig", "write", cluster, "--output", kubeconfig, "--overwrite"))

    def load(self, progress: Progress, cluster: str, reference: str) -> None:
        progress.run(("k3d", "image", "import", reference, "--cluster", cluster), timeout=LOAD_SECONDS)

    def remove(self, progress: Progress, cluster: str) -> None:
        progress.run(("k3d", "cluster", "delete", cluster), timeout=REMOVE_SECONDS)


class Minikube:
    """minikube: nodes are containers of the engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def context(self, cluster: str) -> str:
        return cluster

    def start(self, progress: Progress, cluster: str, nodes: int, kubeconfig: Path) -> None:
        command = ("minikube", "start", "--profile", cluster, "--nodes", str(nodes), "--driver", self.engine.program)
        # `start` starts a cluster that exists with its own number of nodes.
        progress.run((*command, "--wait", "all"), env={"KUBECONFIG": str(kubeconfig)}, timeout=START_SECONDS)

    def load(self, progress: Progress, cluster: str, reference: str) -> None:
        with self.engine.archive(progress, reference) as archive:
            progress.run(("minikube", "image", "load", archive, "--profile", cluster), timeout=LOAD_SECONDS)

    def remove(self, progress: Progress, cluster: str) -> None:
        environment = {"KUBECONFIG": os.devnull}  # the user's kubeconfig does not know this cluster
        progress.run(("minikube", "delete", "--profile", cluster), env=environment, timeout=REMOVE_SECONDS)


TOOLS: Final[Mapping[str, Callable[[Engine], Tool]]] = {"kind": Kind, "k3d": K3d, "minikube": Minikube}
"""In the order in which `make up` looks for them."""
PAGES: Final[Mapping[str, str]] = {
    "kind": "https://kind.sigs.k8s.io",
    "k3d": "https://k3d.io",
    "minikube": "https://minikube.sigs.k8s.io",
}
"""Where they can be had."""
CLUSTER: Final = NAME
"""Name of the cluster that `make up` makes with them."""
