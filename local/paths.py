"""The directories of what is made on this machine and not committed."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from local.failure import Failure

HOME_VARIABLE = "WEB_CRAWL_TRACING_HOME"
NAME = "web-crawl-tracing"
_SET = "set HOME to a directory that it can write"


@dataclass(frozen=True, kw_only=True)
class Home:
    """The cache directory and its parts. `down` deletes `run`; everything else stays."""

    root: Path

    @classmethod
    def default(cls) -> "Home":
        """The directory that $WEB_CRAWL_TRACING_HOME names, by default ~/.cache/web-crawl-tracing."""
        configured = os.environ.get(HOME_VARIABLE)
        return cls(root=Path(configured).resolve() if configured else _standard_root())

    @property
    def bin(self) -> Path:
        """Compiled programs."""
        return self.root / "bin"

    @property
    def run(self) -> Path:
        """State of the running cluster: keys, configuration, etcd's data, volumes. `down` deletes it."""
        return self.root / "run"

    def node(self, name: str) -> Path:
        """State of one node: its runtime's and kubelet's files, its volumes, its network namespace."""
        return self.run / name

    @property
    def images(self) -> Path:
        """Image archives."""
        return self.root / "images"

    @property
    def containerd(self) -> Path:
        """The image store of the first node, kept across `down` so that nothing is imported twice."""
        return self.image_store(1)

    def image_store(self, number: int) -> Path:
        """The image store of the node with that number. That of the first node is older than the other ones."""
        return self.root / ("containerd" if number == 1 else f"containerd-{number}")

    @property
    def logs(self) -> Path:
        """One log a job; a cluster component's logs are below `run`."""
        return self.root / "logs"

    @property
    def lock(self) -> Path:
        """Lock that a program holds while it changes the cluster."""
        return self.root / "lock"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, context `local`."""
        return self.run / "admin.kubeconfig"

    @property
    def cgroup(self) -> str:
        """Name of the control group that every pod is below. Clusters of two homes on one machine have two groups."""
        if self.root == _standard_root():
            return NAME
        return f"{NAME}-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:8]}"


def user_home() -> Path:
    """The home directory of the user.

    Raises:
        Failure: there is none, as in a container that runs with any user id; or it is another user's, as after `su`.
    """
    try:
        home = Path.home()
    except RuntimeError:
        raise Failure(f"this user has no home directory: {_SET}") from None
    if not os.access(existing(home), os.X_OK):
        raise Failure(f"this user may not look into its home directory {home}: {_SET}")
    return home


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists and that the user may look into."""
    return next(parent for parent in (path, *path.parents) if os.path.exists(parent))  # noqa: PTH110 - raises nothing


def _standard_root() -> Path:
    return (user_home() / ".cache" / NAME).resolve()  # without links, as in the kernel's list of mounts
