"""A node's container runtime: imports and pulls images, and removes what an earlier cluster left."""

import contextlib
import shlex
import shutil
import subprocess
from pathlib import Path

from local.failure import Failure
from local.jobs import Progress

NAMESPACE = "k8s.io"  # where the kubelet's images and containers live


class Containerd:
    """A running containerd, reached through its socket."""

    def __init__(self, socket: Path) -> None:
        self._base = ("ctr", "--address", str(socket), "--namespace", NAMESPACE)

    def answers(self) -> bool:
        """Whether it answers a request."""
        with contextlib.suppress(Failure):
            self.ctr("namespaces", "list", "--quiet", timeout=5)
            return True
        return False

    def images(self) -> list[str]:
        """References of all images. containerd also lists each image by its digest; those lines are left out."""
        return [line for line in self.ctr("images", "list", "--quiet").split() if not line.startswith("sha256:")]

    def digests(self) -> dict[str, str]:
        """Reference → digest of every image."""
        rows = (line.split() for line in self.ctr("images", "list").splitlines()[1:])
        return {row[0]: row[2] for row in rows if len(row) > 2}

    def copy_images(self, progress: Progress, source: "Containerd") -> None:
        """Copies the images of another node that are missing here, or that differ."""
        own = self.digests()
        missing = [
            reference
            for reference, digest in source.digests().items()
            if not reference.startswith("sha256:") and own.get(reference) != digest
        ]
        if missing:
            progress.step(f"copying {len(missing)} images from another node")
            export = shlex.join([*source._base, "images", "export", "-", *missing])
            import_ = shlex.join([*self._base, "images", "import", "-"])
            progress.run(["sh", "-c", f"{export} | {import_}"], timeout=600)

    def has(self, reference: str) -> bool:
        """Whether a pod can use the image without a pull."""
        return reference in self.images()

    def load(self, progress: Progress, archive: Path) -> None:
        """Imports an image archive in Docker's or OCI's layout. An import that fails leaves no image."""
        progress.run([*self._base, "images", "import", archive], timeout=600)

    def pull(self, progress: Progress, reference: str, timeout: float) -> None:
        """Pulls an image from its registry.

        Raises:
            Failure: the image was not pulled within `timeout` seconds.
        """
        progress.run([*self._base, "images", "pull", reference], timeout=timeout)

    def purge(self) -> None:
        """Deletes the containers of an earlier cluster. Their processes have ended, but their layers use disk space."""
        containers = self.ctr("containers", "list", "--quiet").split()
        if containers:
            self.ctr("containers", "delete", *containers, check=False)

    def ctr(self, *arguments: str, timeout: float = 60, check: bool = True) -> str:
        """Runs the program `ctr` and returns its output.

        Raises:
            Failure: it did not end within `timeout` seconds, or, if `check` is set, it failed.
        """
        try:
            result = subprocess.run([*self._base, *arguments], capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"containerd did not answer `ctr {' '.join(arguments[:2])}` within {timeout:.0f} s") from None
        if check and result.returncode != 0:
            raise Failure(f"`ctr {' '.join(arguments[:2])}` failed: {result.stderr.strip()}")
        return result.stdout


def remove_shim_sockets(state: Path) -> None:
    """Removes the sockets of shims that have ended. They are outside of `state`; each task's directory names one."""
    for file in state.glob("io.containerd.runtime.v2.task/*/*/address"):
        Path(file.read_text().strip().removeprefix("unix://")).unlink(missing_ok=True)


def remove_pod_records(root: Path) -> None:
    """Removes the CRI plugin's records of an earlier cluster's pods. containerd must not run."""
    for kind in ("containers", "sandboxes"):
        shutil.rmtree(root / "io.containerd.grpc.v1.cri" / kind, ignore_errors=True)
