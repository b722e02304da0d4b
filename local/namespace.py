"""Network namespaces: commands and kernel settings in the machine's own, or in one that a file holds open."""

import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from local import mounts
from local.failure import Failure


@dataclass(frozen=True)
class Namespace:
    """A network namespace. `file` is a mount that holds it open; None is the machine's own namespace."""

    file: Path | None = None

    def create(self) -> None:
        """Makes the namespace, unless it exists."""
        if self.file and not mounts.below(self.file):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.touch()
            run("unshare", f"--net={self.file}", "true")

    def enter(self, *command: str) -> tuple[str, ...]:
        """The command that runs `command` in the namespace."""
        return command if self.file is None else ("nsenter", f"--net={self.file}", *command)

    def run(self, *command: str, stdin: str = "", check: bool = True) -> str:
        """Runs a command in the namespace, as `run` does."""
        return run(*self.enter(*command), stdin=stdin, check=check)

    def set(self, name: str, value: str) -> None:
        """Changes a kernel setting of the namespace, like net/ipv4/ip_forward, if the kernel has it and it differs."""
        path = f"/proc/sys/{name}"
        if self.run("cat", path, check=False).strip() not in ("", value):  # a container may not be allowed to write it
            self.run("tee", path, stdin=value)


MACHINE = Namespace()


def read_setting(name: str) -> str | None:
    """A kernel setting of the machine; None if the kernel lacks it, or its module is not loaded."""
    with contextlib.suppress(OSError):
        return (Path("/proc/sys") / name).read_text().strip()
    return None


def run(*command: str, stdin: str = "", check: bool = True) -> str:
    """Runs a command and returns its output.

    Raises:
        Failure: it failed, and `check` is set.
    """
    if not check and shutil.which(command[0]) is None:
        return ""  # without the program, the machine has nothing of its kind to list or to remove
    result = subprocess.run(command, input=stdin, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if check and result.returncode != 0:
        raise Failure(f"`{' '.join(command)}` failed: {result.stderr.strip()}")
    return result.stdout
