"""The control group that every pod of the cluster is below, in each hierarchy that the machine has (v1, v2 or both)."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from local.layout import CGROUP

CONTROLLERS = "+cpuset +cpu +memory +pids"  # the kubelet does not start without them


def hierarchies(mounts: Path = Path("/proc/self/mounts")) -> list[Path]:
    """The directories where control groups are mounted."""
    directories = []
    for line in mounts.read_text().splitlines():
        _, directory, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            directories.append(Path(directory))
    return directories


def create() -> None:
    """Makes the group. The kubelet requires that it exists."""
    for hierarchy in hierarchies():
        group = hierarchy / CGROUP
        if (hierarchy / "cgroup.controllers").exists():
            # In v2, a group has the controllers that its parent enables. In a hybrid setup v2 has no controllers.
            with contextlib.suppress(OSError):
                (hierarchy / "cgroup.subtree_control").write_text(CONTROLLERS)
        group.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):  # v1: empty in a new group; a process can enter once they are set
            file = group / name
            if file.exists() and not (hierarchy / "cgroup.controllers").exists() and not file.read_text().strip():
                file.write_text((hierarchy / name).read_text())


def processes() -> set[int]:
    """The ids of all processes of pods."""
    pids: set[int] = set()
    for group in _groups():
        with contextlib.suppress(OSError):
            pids.update(int(word) for word in (group / "cgroup.procs").read_text().split())
    return pids


def remove(limit: float = 5.0) -> bool:
    """Kills the processes of the group and removes it. Returns whether that succeeded within `limit` seconds."""
    deadline = time.monotonic() + limit
    while True:
        for pid in processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for group in _groups():  # deepest first
            with contextlib.suppress(OSError):
                group.rmdir()
        left = [hierarchy for hierarchy in hierarchies() if (hierarchy / CGROUP).exists()]
        if not left or time.monotonic() > deadline:
            return not left
        time.sleep(0.02)


def _groups() -> Iterator[Path]:
    for hierarchy in hierarchies():
        for directory, _, _ in os.walk(hierarchy / CGROUP, topdown=False):
            yield Path(directory)
