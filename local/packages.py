"""Debian packages: installed through apt-get, and only what is missing."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from local.failure import Failure
from local.jobs import Progress

CNI_DIRECTORIES = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))  # Debian's place, everyone else's place

# What the cluster needs: a program on PATH (or a file, if it begins with /) and the package that brings it.
CLUSTER = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables-restore": "iptables",
    "ip": "iproute2",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}


def missing_packages(needed: Mapping[str, str] = CLUSTER) -> list[str]:
    """The packages whose program or file is not there. A CNI plugin may lie in any of CNI_DIRECTORIES."""
    return sorted({package for probe, package in needed.items() if not _is_there(probe)})


def install_packages(progress: Progress, needed: Mapping[str, str] = CLUSTER) -> None:
    """Installs what is missing; Failure that names the packages where this is no Debian or we are not root."""
    missing = missing_packages(needed)
    if not missing:
        return
    names = " ".join(missing)
    if not shutil.which("apt-get"):
        raise Failure(f"these programs are missing and there is no apt-get to install them: {names}. Install them.")
    if os.geteuid() != 0:
        raise Failure(f"these packages are missing: {names}. Run this as root, or `sudo apt-get install {names}`.")
    # Another apt (unattended upgrades, or one of our own jobs) may hold the lock for a while: wait for it.
    options = ["-o", "DPkg::Lock::Timeout=300", "-q", "-y"]
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    progress.step("updating the package lists")
    progress.run(["apt-get", *options, "update"], env=environment, on_line=_follow(progress, "updating"), timeout=600)
    progress.step(f"installing {names}")
    progress.run(
        ["apt-get", *options, "--no-install-recommends", "install", *missing],
        env=environment,
        on_line=_follow(progress, "installing"),
        timeout=900,
    )
    if still := missing_packages(needed):
        raise Failure(f"installed, but still not there: {' '.join(still)}. See {progress.log}")


def cni_directory() -> Path:
    """Where the CNI plugins are."""
    for directory in CNI_DIRECTORIES:
        if (directory / "bridge").exists():
            return directory
    raise Failure("there are no CNI plugins. Install the package containernetworking-plugins.")


def _is_there(probe: str) -> bool:
    path = Path(probe)
    if path.parent in CNI_DIRECTORIES:
        return any((directory / path.name).exists() for directory in CNI_DIRECTORIES)
    return path.exists() if path.is_absolute() else shutil.which(probe) is not None


def _follow(progress: Progress, doing: str) -> Callable[[str], None]:
    def follow(line: str) -> None:
        if line.startswith(("Get:", "Unpacking", "Setting up")):
            progress.step(f"{doing}: {line[:80]}")

    return follow
