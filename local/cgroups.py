"""A control group in each hierarchy that the machine has (v1, v2 or both)."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CONTROLLERS = "+cpuset +cpu +memory +pids"  # the kubelet does not start without them


def hierarchies(mounts: Path = Path("/proc/self/mounts")) -> list[Path]:
    """The directories where control groups are mounted."""
    directories = []
    for line in mounts.read_text().splitlines():
        _, directory, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            directories.append(Path(directory))
    return directories


@dataclass(frozen=True)
class ControlGroup:
    """A group and the groups below it. `path` is relative to the hierarchies."""

    path: str

    def create(self) -> None:
        """Makes the group and its parents. The kubelet requires that it exists."""
        for hierarchy in hierarchies():
            parent = hierarchy
            for name in self.path.split("/"):
                _create(parent, parent / name)
                parent /= name

    def processes(self) -> set[int]:
        """The ids of all processes in the group."""
        pids: set[int] = set()
        for group in self._groups():
            with contextlib.suppress(OSError):
                pids.update(int(word) for word in (group / "cgroup.procs").read_text().split())
        return pids

    def remove(self, limit: float = 5.0) -> bool:
        """Kills the processes of the group and removes it. Returns whether that succeeded within `limit` seconds."""
        deadline = time.monotonic() + limit
        while True:
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for group in self._groups():  # deepest first
                with contextlib.suppress(OSError):
                    group.rmdir()
            left = [hierarchy for hierarchy in hierarchies() if (hierarchy / self.path).exists()]
            if not left or time.monotonic() > deadline:
                return not left
            time.sleep(0.02)

    def _groups(self) -> Iterator[Path]:
        for hierarchy in hierarchies():
            for directory, _, _ in os.walk(hierarchy / self.path, topdown=False):
                yield Path(directory)


def _create(parent: Path, group: Path) -> None:
    is_v2 = (parent / "cgroup.controllers").exists()
    if is_v2:
        # In v2, a group has the controllers that its parent enables. In a hybrid setup v2 has no controllers.
        with contextlib.suppress(OSError):
            (parent / "cgroup.subtree_control").write_text(CONTROLLERS)
    group.mkdir(exist_ok=True)
    for name in ("cpuset.cpus", "cpuset.mems"):  # v1: empty in a new group; a process can enter once they are set
        file = group / name
        if file.exists() and not is_v2 and not file.read_text().strip():
            file.write_text((parent / name).read_text())
