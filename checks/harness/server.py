"""A server as a process of this machine: starts it, waits until it is ready, stops or kills it."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

from checks.harness.http import CLIENT
from stack.polling import poll_until

_START_SECONDS = 60
_STOP_SECONDS = 60
_LAST_CHARACTERS = 2000


def answers(url: str) -> bool:
    """Whether GET `url` has the status 200."""
    try:
        return CLIENT.get(url, timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


class ServerProcess:
    """One server. Its files stay when it ends, and it can be started again with the same ones."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        directory: Path,
        is_ready: Callable[[], bool] = lambda: True,
        environment: Mapping[str, str] = {},
    ) -> None:
        """Prepares the process.

        Args:
            name: of the server, for messages and its log.
            command: program and arguments.
            directory: where its log is, and in which it runs.
            is_ready: whether it can be used.
            environment: variables in addition to those of this process.
        """
        self._name = name
        self._command = command
        self._directory = directory
        self._is_ready = is_ready
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._log_file = directory / f"{name}.log"

    @property
    def pid(self) -> int:
        """Its process id, while it runs."""
        assert self._process, f"{self._name} does not run"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not ended since."""
        return self._process is not None

    @property
    def log(self) -> str:
        """What it wrote since its first start."""
        return self._log_file.read_text()

    def cpu_seconds(self) -> float:
        """CPU time that it has used so far."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> float:
        """The most memory that it has had in RAM."""
        match = re.search(r"^VmHWM:\s+(\d+) kB$", self._proc("status"), re.MULTILINE)
        assert match
        return int(match[1]) / 1024

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.pid}/{name}").read_text()

    def start(self, seconds: float = _START_SECONDS) -> None:
        """Returns when it is ready, within `seconds`; raises AssertionError with the end of its log if it ends."""
        with self._log_file.open("ab") as log:
            process = self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
            )

        def is_ready() -> bool:
            assert process.poll() is None, self.log[-_LAST_CHARACTERS:]
            return self._is_ready()

        poll_until(f"{self._name} to be ready", is_ready, seconds=seconds, look_at=str(self._log_file))

    def stop(self, seconds: float = _STOP_SECONDS) -> int | None:
        """Stops it as Kubernetes does, with SIGTERM, and returns its exit code; None if it does not run.

        Raises:
            TimeoutExpired: it still runs after `seconds`.
        """
        if (process := self._process) is None:
            return None
        process.terminate()
        code = process.wait(seconds)
        self._process = None
        return code

    def kill(self) -> None:
        """Ends it with SIGKILL, if it runs."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
