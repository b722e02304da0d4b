"""Runs a graph of jobs side by side: shows progress, stops everything at the first failure, leaves no child behind."""

import errno
import os
import signal
import subprocess
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from local.display import Row, display
from local.failure import Failure
from local.paths import Home

LAST_LINES = 15  # of a failed command, quoted in the message
GRACE = 5.0  # seconds between SIGTERM and SIGKILL


class Cancelled(Exception):
    """Raised inside a job that has to stop because another one failed or the user pressed Ctrl-C."""


class Cores:
    """Slots for work that keeps every core busy, handed out in the order of the jobs' list.

    Two such builds at once finish no sooner than one after the other, and delay the one that others wait for.
    """

    def __init__(self, slots: int = 1) -> None:
        self._free = slots
        self._waiting: list[int] = []
        self._changed = threading.Condition()

    def acquire(self, rank: int, give_up: Callable[[], None]) -> None:
        """Waits until a slot is free and no lower rank wants it. `give_up` may raise to end the wait."""
        with self._changed:
            self._waiting.append(rank)
            try:
                while not self._free or rank != min(self._waiting):
                    self._changed.wait(0.2)
                    give_up()
                self._free -= 1
            finally:
                self._waiting.remove(rank)
                self._changed.notify_all()

    def release(self) -> None:
        """Gives the slot to the next in line."""
        with self._changed:
            self._free += 1
            self._changed.notify_all()


class Progress:
    """A job's side of the runner: says what it is doing, runs commands, and learns that it must stop."""

    def __init__(
        self,
        name: str,
        *,
        logs: Path | None = None,
        cores: Cores | None = None,
        rank: int = 0,
        say: Callable[[str, str], None] | None = None,
    ) -> None:
        self.name = name
        self.log = (logs or Home.default().logs) / f"{name.replace('/', '-')}.log"
        self.doing = ""
        self.queued = False
        self._say = say
        self._cores = cores or Cores()
        self._rank = rank
        self._holds_cores = False
        self._cancelled = threading.Event()
        self._children: set[subprocess.Popen[str]] = set()
        self._children_lock = threading.Lock()

    def step(self, text: str) -> None:
        """Says what the job is doing now."""
        self.check()
        self.doing = text

    def note(self, text: str) -> None:
        """Says something that a person should see even if it is over in a moment; it goes into the log too."""
        self.step(text.splitlines()[0])
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as file:
            file.write(f"{text}\n")
        if self._say:
            self._say(self.name, text)

    def check(self) -> None:
        """Raises Cancelled if the job has to stop: call it in loops of your own."""
        if self._cancelled.is_set():
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Like time.sleep, but ends at once (with Cancelled) when the job has to stop."""
        self._cancelled.wait(seconds)
        self.check()

    @contextmanager
    def cores(self) -> Iterator[None]:
        """Inside it the job may keep every core busy: at most one job at a time, earlier jobs of the list first."""
        if self._holds_cores:
            yield
            return
        doing, self.queued = self.doing, True
        self.doing = "waiting for the cores"
        try:
            self._cores.acquire(self._rank, self.check)
        finally:
            self.doing, self.queued = doing, False
        self._holds_cores = True
        try:
            yield
        finally:
            self._holds_cores = False
            self._cores.release()

    def wait(
        self, what: str, ready: Callable[[], bool], *, timeout: float, every: float = 0.1, log: Path | None = None
    ) -> None:
        """Polls until `ready` holds; after `timeout` seconds fails with what it waited for and the log's last lines."""
        self.step(f"waiting for {what}")
        deadline = time.monotonic() + timeout
        while not ready():
            if time.monotonic() > deadline:
                raise Failure(f"waited {timeout:.0f} s in vain for {what}.{quote(log) if log else ''}")
            self.sleep(every)

    def run(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
        on_line: Callable[[str], None] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Runs a command, both its outputs into the job's log; Failure with its last lines if it does not exit with 0.

        It gets a process group of its own, so that a cancelled job ends its grandchildren too (compilers, for one).
        `env` is added to our own environment; `on_line` sees each line as it comes; `timeout` is in seconds.
        """
        self.check()
        words = [str(word) for word in command]
        log = log or self.log
        log.parent.mkdir(parents=True, exist_ok=True)
        last: deque[str] = deque(maxlen=LAST_LINES)
        late = threading.Event()
        with log.open("a", errors="replace") as file:
            file.write(f"$ {' '.join(words)}\n")
            file.flush()
            try:
                child = subprocess.Popen(
                    words,
                    cwd=cwd,
                    env={**os.environ, **(env or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    process_group=0,
                )
            except OSError as error:
                raise Failure(f"cannot run {words[0]}: {error.strerror or error}") from error
            with self._children_lock:
                self._children.add(child)
            if self._cancelled.is_set():  # cancelled between the check above and now
                _end(child)
            timer: threading.Timer | None = None
            if timeout is not None:

                def too_late() -> None:
                    late.set()
                    _end(child)

                timer = threading.Timer(timeout, too_late)
                timer.daemon = True
                timer.start()
            try:
                assert child.stdout is not None
                for line in child.stdout:
                    file.write(line)
                    file.flush()
                    last.append(line.rstrip())
                    if on_line:
                        on_line(line.rstrip("\n"))
                code = child.wait()
            except BaseException:
                _end(child)
                raise
            finally:
                if timer:
                    timer.cancel()
                with self._children_lock:
                    self._children.discard(child)
                if child.stdout:
                    child.stdout.close()
        self.check()
        if late.is_set():
            raise Failure(f"{words[0]} did not end within {timeout:.0f} s.{_tail(last)}\nWhole log: {log}")
        if code != 0:
            raise Failure(f"`{' '.join(words[:4])}` failed with exit code {code}.{_tail(last)}\nWhole log: {log}")

    def cancel(self) -> None:
        """Makes the job stop: ends its commands and raises Cancelled at its next step."""
        self._cancelled.set()
        with self._children_lock:
            children = list(self._children)
        for child in children:
            threading.Thread(target=_end, args=(child,)).start()


@dataclass(frozen=True)
class Job:
    """One node of the graph. `needs` names the jobs that must be done first.

    `cores=True` is for jobs that keep all cores busy throughout; `Progress.cores()` marks a part of a job so.
    """

    name: str
    run: Callable[[Progress], None]
    needs: tuple[str, ...] = ()
    cores: bool = False


def run_jobs(
    jobs: Sequence[Job], *, logs: Path | None = None, slots: int = 1, output: TextIO | None = None
) -> dict[str, float]:
    """Runs all jobs, each as soon as what it needs is done, and returns the seconds each took.

    At the first failure every other job is stopped, and Failure names the job, the reason and its log.
    """
    runner = _Runner(jobs, logs or Home.default().logs, Cores(slots), output)
    return runner.run()


class _Task:
    """A job with its state. Only the runner's lock holder changes it."""

    def __init__(self, job: Job, progress: Progress) -> None:
        self.job = job
        self.progress = progress
        self.state = "waiting"
        self.began = 0.0
        self.seconds = 0.0

    def row(self) -> Row:
        running = self.state == "running"
        return Row(
            name=self.job.name,
            state="queued" if running and self.progress.queued else self.state,
            doing=self.progress.doing,
            seconds=time.monotonic() - self.began if running else self.seconds,
        )


class _Runner:
    def __init__(self, jobs: Sequence[Job], logs: Path, cores: Cores, output: TextIO | None) -> None:
        _check_graph(jobs)
        self._changed = threading.Condition()
        self._failure: Failure | None = None
        self._tasks: dict[str, _Task] = {}
        self._display = display(lambda: [task.row() for task in self._tasks.values()], output)
        self._tasks |= {
            job.name: _Task(job, Progress(job.name, logs=logs, cores=cores, rank=rank, say=self._display.say))
            for rank, job in enumerate(jobs)
        }

    def run(self) -> dict[str, float]:
        with self._display:
            try:
                with self._changed:
                    while self._start_ready():
                        self._changed.wait()
            except BaseException:
                self._stop()
                raise
            if self._failure:
                self._stop()
                raise self._failure
        return {name: task.seconds for name, task in self._tasks.items()}

    def _start_ready(self) -> bool:
        """Starts what can start; False when there is nothing left to wait for."""
        if self._failure:
            return False
        for task in self._tasks.values():
            if task.state == "waiting" and all(self._tasks[name].state == "done" for name in task.job.needs):
                task.state, task.began = "running", time.monotonic()
                self._display.changed(task.row())
                threading.Thread(target=self._work, args=(task,), name=task.job.name, daemon=True).start()
        return any(task.state in ("waiting", "running") for task in self._tasks.values())

    def _work(self, task: _Task) -> None:
        failure: Failure | None = None
        state = "done"
        log = task.progress.log
        try:
            log.unlink(missing_ok=True)  # of an earlier run
            if task.job.cores:
                with task.progress.cores():
                    task.job.run(task.progress)
            else:
                task.job.run(task.progress)
        except Cancelled:
            state = "cancelled"
        except Failure as error:
            state, failure = "failed", Failure(f"{task.job.name}: {error}")
            failure.__cause__ = error
        except BaseException as error:  # SystemExit too: nothing but the lines below tells that this thread ends
            state = "failed"
            failure = Failure(f"{task.job.name}: {_unexpected(error)}\nTraceback in {log}")
            failure.__cause__ = error
            with suppress(OSError):
                log.parent.mkdir(parents=True, exist_ok=True)
                with log.open("a") as file:
                    traceback.print_exc(file=file)
        with self._changed:
            task.seconds, task.state = time.monotonic() - task.began, state
            if state == "done":
                task.progress.doing = ""
            self._failure = self._failure or failure
            self._changed.notify_all()
            self._display.changed(task.row())  # last: the output may be gone

    def _stop(self) -> None:
        """Cancels what still runs and waits until it is gone."""
        for task in self._tasks.values():
            task.progress.cancel()
        deadline = time.monotonic() + GRACE + 5
        with self._changed:
            while any(task.state == "running" for task in self._tasks.values()):
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break


def quote(log: Path, lines: int = LAST_LINES) -> str:
    """The last lines of a log, ready to be appended to a message."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 16384))
            text = file.read().decode(errors="replace")
    except OSError:
        return f"\nThere is no log at {log}."
    return f"{_tail(text.splitlines()[-lines:])}\nWhole log: {log}"


def _unexpected(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk is full ({error.strerror}). Free some space, or set WEB_CRAWL_TRACING_HOME to a directory on a "
            "larger disk, and run this again: what is finished is kept."
        )
    return f"{type(error).__name__}: {error}"


def _tail(lines: Sequence[str] | deque[str]) -> str:
    return "".join(f"\n  | {line[:300]}" for line in lines)


def _end(child: "subprocess.Popen[str]") -> None:
    """Ends a child's whole process group: politely, then not."""
    for name in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, name)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline:
            if child.poll() is not None and not _group_lives(child.pid):
                return
            time.sleep(0.05)


def _group_lives(group: int) -> bool:
    """Whether a process of the group still runs; one that is dead and only not collected yet does not."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, its_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(its_group) == group and state != "Z":
                return True
    return False


def _check_graph(jobs: Sequence[Job]) -> None:
    """Refuses duplicate names, unknown needs and circles: mistakes of the program, hence ValueError."""
    names = [job.name for job in jobs]
    if len(set(names)) != len(names):
        raise ValueError(f"job names are not unique: {names}")
    left = {job.name: set(job.needs) for job in jobs}
    for name, needs in left.items():
        if unknown := needs - set(names):
            raise ValueError(f"job {name} needs {sorted(unknown)}, which is not in the list")
    while left:
        ready = {name for name, needs in left.items() if not needs & left.keys()}
        if not ready:
            raise ValueError(f"jobs wait for each other in a circle: {sorted(left)}")
        for name in ready:
            del left[name]
