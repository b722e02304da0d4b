"""Runs the jobs of a graph, each in a thread of its own."""

import errno
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from local.failure import Failure
from local.jobs.command import GRACE
from local.jobs.cores import Cores
from local.jobs.display import Row, State, display
from local.jobs.progress import Cancelled, Progress
from local.paths import Home


@dataclass(frozen=True)
class Job:
    """One node of the graph. `needs` names the jobs that must be done first.

    `cores=True` is for a job that keeps every core busy all the time; `Progress.cores()` marks a part of a job.
    """

    name: str
    run: Callable[[Progress], None]
    needs: tuple[str, ...] = ()
    cores: bool = False


def run_jobs(
    jobs: Sequence[Job], *, logs: Path | None = None, slots: int = 1, output: TextIO | None = None
) -> dict[str, float]:
    """Runs all jobs, each as soon as the jobs that it needs are done.

    Args:
        jobs: the graph.
        logs: directory of the jobs' logs.
        slots: how many jobs may have the cores at a time.
        output: where the progress is shown; standard output by default.

    Returns:
        The seconds that each job took.

    Raises:
        Failure: a job failed, and all others were stopped. The message names the job, the reason and the log.
    """
    runner = _Runner(jobs, logs or Home.default().logs, Cores(slots), output)
    return runner.run()


class _Task:
    """A job and its state. Changes need the runner's lock."""

    def __init__(self, job: Job, progress: Progress) -> None:
        self.job = job
        self.progress = progress
        self.state: State = "waiting"
        self.started = 0.0
        self.seconds = 0.0

    def row(self) -> Row:
        running = self.state == "running"
        return Row(
            name=self.job.name,
            state="queued" if running and self.progress.queued else self.state,
            activity=self.progress.activity,
            seconds=time.monotonic() - self.started if running else self.seconds,
        )


class _Runner:
    def __init__(self, jobs: Sequence[Job], logs: Path, cores: Cores, output: TextIO | None) -> None:
        _check_graph(jobs)
        self._changed = threading.Condition()
        self._failure: Failure | None = None
        self._tasks: dict[str, _Task] = {}
        self._display = display(lambda: [task.row() for task in self._tasks.values()], output)
        self._tasks |= {
            job.name: _Task(job, Progress(job.name, logs=logs, cores=cores, rank=rank, on_note=self._display.note))
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
        """Starts every job whose needs are done. Returns whether a job still waits or runs."""
        if self._failure:
            return False
        for task in self._tasks.values():
            if task.state == "waiting" and all(self._tasks[name].state == "done" for name in task.job.needs):
                task.state, task.started = "running", time.monotonic()
                self._display.changed(task.row())
                threading.Thread(target=self._run, args=(task,), name=task.job.name, daemon=True).start()
        return any(task.state in ("waiting", "running") for task in self._tasks.values())

    def _run(self, task: _Task) -> None:
        failure: Failure | None = None
        state: State = "done"
        try:
            task.progress.log.unlink(missing_ok=True)  # of an earlier run
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
        except BaseException as error:
            # SystemExit too: without these lines the runner would wait for a thread that has ended.
            state, failure = "failed", _unexpected_failure(task, error)
        with self._changed:
            task.seconds, task.state = time.monotonic() - task.started, state
            if state == "done":
                task.progress.activity = ""
            self._failure = self._failure or failure
            self._changed.notify_all()
            self._display.changed(task.row())  # last, since it raises if the output is closed

    def _stop(self) -> None:
        """Cancels all jobs and waits until they have ended."""
        for task in self._tasks.values():
            task.progress.cancel()
        deadline = time.monotonic() + GRACE + 5
        with self._changed:
            while any(task.state == "running" for task in self._tasks.values()):
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._changed.wait(remaining):
                    break


def _unexpected_failure(task: _Task, error: BaseException) -> Failure:
    """The failure for an exception that is a bug or a full disk. Its traceback goes to the job's log."""
    log = task.progress.log
    failure = Failure(f"{task.job.name}: {_describe(error)}\nTraceback in {log}")
    failure.__cause__ = error
    with suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            traceback.print_exception(error, file=file)
    return failure


def _describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk is full ({error.strerror}). Free some space, or set WEB_CRAWL_TRACING_HOME to a directory on a "
            "larger disk, and run the same command again. Finished work is kept."
        )
    return f"{type(error).__name__}: {error}"


def _check_graph(jobs: Sequence[Job]) -> None:
    """Raises ValueError, since duplicate names, unknown needs and circles are bugs."""
    names = [job.name for job in jobs]
    if len(set(names)) != len(names):
        raise ValueError(f"job names are not unique: {names}")
    remaining = {job.name: set(job.needs) for job in jobs}
    for name, needs in remaining.items():
        if unknown := needs - set(names):
            raise ValueError(f"job {name} needs {sorted(unknown)}, which is not in the list")
    while remaining:
        ready = {name for name, needs in remaining.items() if not needs & remaining.keys()}
        if not ready:
            raise ValueError(f"jobs wait for each other in a circle: {sorted(remaining)}")
        for name in ready:
            del remaining[name]
