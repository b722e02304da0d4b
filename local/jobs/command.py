"""A child process in a process group of its own, so that its children (compilers, for example) end with it."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from local.failure import Failure

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""


class Command:
    """A running command. Both its outputs come as one stream of lines."""

    def __init__(self, words: Sequence[str], *, cwd: Path | None, environment: Mapping[str, str]) -> None:
        """Starts it, with `environment` added to that of this process.

        Raises:
            Failure: the program does not exist or cannot be executed.
        """
        try:
            self._process = subprocess.Popen(
                words,
                cwd=cwd,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                process_group=0,
            )
        except OSError as error:
            raise Failure(f"cannot run {words[0]}: {error.strerror or error}") from error

    def lines(self) -> Iterator[str]:
        """The lines of its output, as they come, until it closes its output."""
        assert self._process.stdout is not None
        yield from self._process.stdout

    def wait(self) -> int:
        """Waits until it exits; returns its exit code."""
        return self._process.wait()

    def close(self) -> None:
        """Closes its output."""
        if self._process.stdout:
            self._process.stdout.close()

    def end(self) -> None:
        """Ends the whole process group: SIGTERM, and SIGKILL after the grace period."""
        group = self._process.pid
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(group, number)
            except ProcessLookupError:
                return
            deadline = time.monotonic() + GRACE
            while time.monotonic() < deadline:
                if self._process.poll() is not None and not _is_group_alive(group):
                    return
                time.sleep(0.05)

    @contextmanager
    def time_limit(self, seconds: float | None) -> Iterator[threading.Event]:
        """Ends the command if the block takes longer. The event is set if that happened."""
        expired = threading.Event()
        if seconds is None:
            yield expired
            return

        def expire() -> None:
            expired.set()
            self.end()

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            yield expired
        finally:
            timer.cancel()


def _is_group_alive(group: int) -> bool:
    """Whether a process of the group runs. A zombie, which has ended but was not waited for, does not count."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, group_of_process = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(group_of_process) == group and state != "Z":
                return True
    return False
