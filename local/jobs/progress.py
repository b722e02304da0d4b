"""What a job uses to report its progress, to run commands, and to notice that it must stop."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from local.failure import Failure
from local.jobs.command import Command
from local.jobs.cores import Cores
from local.paths import Home

LAST_LINES = 15
"""How many lines of a failed command its error message quotes."""


class Cancelled(Exception):
    """Raised inside a job that has to stop because another job failed or the user pressed Ctrl-C."""


class Progress:
    """The runner's interface for one job."""

    def __init__(
        self,
        name: str,
        *,
        logs: Path | None = None,
        cores: Cores | None = None,
        rank: int = 0,
        on_note: Callable[[str, str], None] | None = None,
    ) -> None:
        """Makes the progress of a job.

        Args:
            name: name of the job.
            logs: directory of its log.
            cores: shared with the other jobs.
            rank: place of the job in the list; lower ranks get the cores first.
            on_note: is called with the name and each note.
        """
        self.name = name
        self.log = (logs or Home.default().logs) / f"{name.replace('/', '-')}.log"
        self.activity = ""
        self.queued = False
        self._on_note = on_note
        self._cores = cores or Cores()
        self._rank = rank
        self._holds_cores = False
        self._cancelled = threading.Event()
        self._commands: set[Command] = set()
        self._commands_lock = threading.Lock()

    def step(self, text: str) -> None:
        """Shows what the job does now."""
        self.check()
        self.activity = text

    def note(self, text: str) -> None:
        """Shows a message that stays visible after the step has ended, and writes it to the log."""
        self.step(text.splitlines()[0])
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as file:
            file.write(f"{text}\n")
        if self._on_note:
            self._on_note(self.name, text)

    def check(self) -> None:
        """Raises Cancelled if the job has to stop. A job calls it in its own loops."""
        if self._cancelled.is_set():
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Sleeps; raises Cancelled as soon as the job has to stop."""
        self._cancelled.wait(seconds)
        self.check()

    @contextmanager
    def cores(self) -> Iterator[None]:
        """Waits for the machine's cores. One job at a time has them; earlier jobs of the list get them first."""
        if self._holds_cores:
            yield
            return
        activity, self.queued = self.activity, True
        self.activity = "waiting for the cores"
        try:
            self._cores.acquire(self._rank, self.check)
        finally:
            self.activity, self.queued = activity, False
        self._holds_cores = True
        try:
            yield
        finally:
            self._holds_cores = False
            self._cores.release()

    def wait(
        self,
        description: str,
        is_ready: Callable[[], bool],
        *,
        timeout: float,
        interval: float = 0.1,
        log: Path | None = None,
    ) -> None:
        """Polls until `is_ready` returns true.

        Args:
            description: what the job waits for.
            is_ready: the condition.
            timeout: seconds.
            interval: seconds between two polls.
            log: file whose last lines the error message quotes.

        Raises:
            Failure: the time is over.
        """
        self.step(f"waiting for {description}")
        deadline = time.monotonic() + timeout
        while not is_ready():
            if time.monotonic() > deadline:
                raise Failure(f"timed out after {timeout:.0f} s waiting for {description}.{quote(log) if log else ''}")
            self.sleep(interval)

    def run(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Runs a command and writes its output to the job's log.

        Args:
            command: program and arguments.
            cwd: working directory.
            env: variables in addition to those of this process.
            on_line: is called with each line of the output as it comes.
            timeout: seconds.

        Raises:
            Failure: the exit code is not 0, or the time is over. The message quotes the last lines of the output.
        """
        self.check()
        words = [str(word) for word in command]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        last_lines: deque[str] = deque(maxlen=LAST_LINES)
        with self.log.open("a", errors="replace") as file:
            file.write(f"$ {' '.join(words)}\n")
            file.flush()
            with self._running(words, cwd, env or {}) as running, running.time_limit(timeout) as expired:
                for line in running.lines():
                    file.write(line)
                    file.flush()
                    last_lines.append(line.rstrip())
                    if on_line:
                        on_line(line.rstrip("\n"))
                code = running.wait()
        self.check()
        if expired.is_set():
            raise Failure(f"{words[0]} did not end within {timeout:.0f} s.{_indent(last_lines)}\nLog: {self.log}")
        if code != 0:
            command_line = " ".join(words[:4])
            raise Failure(f"`{command_line}` failed with exit code {code}.{_indent(last_lines)}\nLog: {self.log}")

    def cancel(self) -> None:
        """Makes the job stop: ends its commands, and makes its next step raise Cancelled."""
        self._cancelled.set()
        with self._commands_lock:
            commands = list(self._commands)
        for command in commands:
            threading.Thread(target=command.end).start()

    @contextmanager
    def _running(self, words: Sequence[str], cwd: Path | None, environment: Mapping[str, str]) -> Iterator[Command]:
        """Starts a command that `cancel` ends, and that does not outlive the block."""
        command = Command(words, cwd=cwd, environment=environment)
        with self._commands_lock:
            self._commands.add(command)
        if self._cancelled.is_set():  # The job was cancelled while the command started.
            command.end()
        try:
            yield command
        except BaseException:
            command.end()
            raise
        finally:
            with self._commands_lock:
                self._commands.discard(command)
            command.close()


def quote(log: Path, lines: int = LAST_LINES) -> str:
    """The last lines of a log, to be appended to an error message."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 16384))
            text = file.read().decode(errors="replace")
    except OSError:
        return f"\nThe log {log} does not exist."
    return f"{_indent(text.splitlines()[-lines:])}\nLog: {log}"


def _indent(lines: Iterable[str]) -> str:
    return "".join(f"\n  | {line[:300]}" for line in lines)
