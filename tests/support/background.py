"""Stages of tests that run with a low priority, while tests with time limits run."""

import contextlib
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from typing import IO, Final

from local.cgroups import ControlGroup, hierarchies
from local.paths import Home

Stage = tuple[str, tuple[str, ...]]
"""A name, and the command."""
_NICE: Final = ("nice", "-n", "19")
_WEIGHT: Final = {"cpu.weight": "10", "cpu.shares": "102"}
"""Of version 2 and 1 of control groups: a tenth of the usual weight. With the least one, threads of a test would wait
for each other longer than their limits while the pods start."""


class Background:
    """Stages that run one after the other until one fails. Each has its output in a file."""

    def __init__(self, stages: Sequence[Stage], prefix: tuple[str, ...] = _NICE) -> None:
        """prefix: what precedes each command, and gives it its priority."""
        self._stages = stages
        self._prefix = prefix
        self._outputs: list[IO[str]] = []
        self._is_last = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.code = 0
        """The exit code of the stage that failed, or 0."""
        self.times: list[str] = []

    def start(self) -> None:
        """Starts the first stage."""
        self._thread.start()

    def finish(self, *, early: bool = False) -> int:
        """Waits for the last stage, or early for the present one; prints the outputs, and returns the exit code."""
        if early:
            self._is_last.set()
        self._thread.join()
        for output in self._outputs:
            output.seek(0)
            print(output.read(), end="", flush=True)
            output.close()
        return self.code

    def _run(self) -> None:
        for name, command in self._stages:
            if self._is_last.is_set():
                return
            started = time.monotonic()
            self._outputs.append(output := tempfile.TemporaryFile("w+"))  # noqa: SIM115 - `finish` closes it
            self.code = subprocess.call((*self._prefix, *command), stdout=output, stderr=output)
            self.times.append(f"{name} {time.monotonic() - started:.0f} s")
            if self.code:
                return


@contextlib.contextmanager
def low_priority(name: str | None = None) -> Iterator[tuple[str, ...]]:
    """Yields the beginning of a command line, whose programs leave most of the CPU to others.

    The pods of a local cluster are in control groups of their own. Among these only the weights of the groups count, so
    that a nice process in another group takes as much as all pods. Without root there is no group, nor such a cluster.

    Args:
        name: of the control group.
    """
    group = ControlGroup(name or f"{Home.default().cgroup}-background")
    prefix: tuple[str, ...] = _NICE
    with contextlib.suppress(OSError, ValueError):  # no permission, or no such controller
        group.create()
        files = [hierarchy / group.path / file for hierarchy in hierarchies() for file in _WEIGHT]
        (weight,) = (file for file in files if file.exists())
        weight.write_text(_WEIGHT[weight.name])
        prefix = ("sh", "-c", 'echo $$ > "$0" && exec "$@"', str(weight.with_name("cgroup.procs")), *_NICE)
    try:
        yield prefix
    finally:
        group.remove()
