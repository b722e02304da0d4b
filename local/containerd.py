"""The node's container runtime: images in, leftovers of an earlier cluster out."""

import contextlib
import hashlib
import io
import json
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from local.failure import Failure
from local.jobs import Progress

NAMESPACE = "k8s.io"  # where the kubelet's images and containers live


class Containerd:
    """A running containerd, reached through its socket."""

    def __init__(self, socket: Path) -> None:
        self._base = ("ctr", "--address", str(socket), "--namespace", NAMESPACE)

    def answers(self) -> bool:
        """Whether it takes requests."""
        with contextlib.suppress(Failure):
            self._ctr("namespaces", "list", "--quiet", timeout=5)
            return True
        return False

    def images(self) -> list[str]:
        """References of all images, without the ones that are bare ids."""
        return [line for line in self._ctr("images", "list", "--quiet").split() if not line.startswith("sha256:")]

    def has(self, reference: str) -> bool:
        """Whether a pod could use the image without pulling it."""
        return reference in self.images()

    def load(self, progress: Progress, archive: Path) -> None:
        """Imports an image archive (docker's or OCI's layout). A half-done import leaves no image."""
        progress.run([*self._base, "images", "import", archive], timeout=600)

    def pull(self, progress: Progress, reference: str, timeout: float) -> None:
        """Pulls from the reference's registry; Failure if it is not here after `timeout` seconds."""
        progress.run([*self._base, "images", "pull", reference], timeout=timeout)

    def purge(self) -> None:
        """Forgets the containers of an earlier cluster (their processes are gone, their layers take up disk)."""
        containers = self._ctr("containers", "list", "--quiet").split()
        if containers:
            self._ctr("containers", "delete", *containers, check=False)

    def _ctr(self, *arguments: str, timeout: float = 60, check: bool = True) -> str:
        try:
            result = subprocess.run([*self._base, *arguments], capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"containerd did not answer `ctr {' '.join(arguments[:2])}` within {timeout:.0f} s") from None
        if check and result.returncode != 0:
            raise Failure(f"`ctr {' '.join(arguments[:2])}` failed: {result.stderr.strip()}")
        return result.stdout


def remove_shim_sockets(state: Path) -> None:
    """Removes the sockets of dead shims, which lie outside of `state`; each task's directory names its own."""
    for file in state.glob("io.containerd.runtime.v2.task/*/*/address"):
        Path(file.read_text().strip().removeprefix("unix://")).unlink(missing_ok=True)


def forget_pods(root: Path) -> None:
    """Removes the CRI plugin's own records of an earlier cluster's pods; containerd must not be running."""
    for kind in ("containers", "sandboxes"):
        shutil.rmtree(root / "io.containerd.grpc.v1.cri" / kind, ignore_errors=True)


def write_archive(archive: Path, reference: str, program: Path, entrypoint: Sequence[str]) -> None:
    """Writes an image of one static program, at /<its name>. The same program gives the same bytes."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        _add(tar, program.name, program.read_bytes(), mode=0o755)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    config = json.dumps(
        {
            "architecture": machine,
            "os": "linux",
            "config": {"Entrypoint": list(entrypoint), "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as tar:
        _add(tar, name, config)
        _add(tar, "layer.tar", layer.getvalue())
        _add(tar, "manifest.json", json.dumps(manifest).encode())


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
