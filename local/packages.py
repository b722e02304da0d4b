"""Installs missing Debian packages through apt-get."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from local.failure import Failure
from local.jobs import Progress

CNI_DIRECTORIES = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))  # of Debian, of other distributions

# A program on PATH that the cluster needs (or a file, if it begins with /) → the package that has it.
CLUSTER = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables-restore": "iptables",
    "ip": "iproute2",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}


def missing_packages(needed: Mapping[str, str] = CLUSTER) -> list[str]:
    """The packages whose program or file is missing. A CNI plugin may be in any of CNI_DIRECTORIES."""
    return sorted({package for probe, package in needed.items() if not _is_there(probe)})


def install_packages(progress: Progress, needed: Mapping[str, str] = CLUSTER) -> None:
    """Installs the missing packages.

    Raises:
        Failure: there is no apt-get, this process is not root, or apt-get failed.
    """
    missing = missing_packages(needed)
    if not missing:
        return
    names = " ".join(missing)
    if not shutil.which("apt-get"):
        raise Failure(f"these programs are missing and there is no apt-get to install them: {names}. Install them.")
    if os.geteuid() != 0:
        raise Failure(f"these packages are missing: {names}. Run this as root, or `sudo apt-get install {names}`.")
    # Another apt-get (unattended upgrades, or another job) may hold the lock, so wait for it.
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
        raise Failure(f"apt-get installed {' '.join(still)}, but a program is still missing. See {progress.log}")


def cni_directory() -> Path:
    """The directory of the CNI plugins."""
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
