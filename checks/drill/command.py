"""`make drill`: injects faults into the local stack one at a time, pages, and compares the engineer's answers."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final

from rich.console import Console

from checks.chaos.cluster import LocalCluster
from checks.drill import report
from checks.drill.alerts import AlertWatch
from checks.drill.lines import Lines, PreparedLines, appended
from checks.drill.recovery import WHOLE_SECONDS, Recovery
from checks.drill.rounds import Round, write_summary
from checks.drill.session import Input, Session
from checks.drill.signs import Signs
from checks.drill.start import missing, require_ready
from checks.faults.catalogue import faults
from checks.faults.journal import BusyError, Journal
from checks.faults.model import Fault
from checks.faults.stored import injected, undo_remaining
from checks.harness.traffic import Traffic
from contracts import endpoints
from contracts.errors import UserError
from contracts.services import GATEWAY
from stack.explain.readiness import unready_pods
from stack.kubernetes.client import connect
from stack.polling import poll_until
from stack.settings import load_here

LIMIT_SECONDS: Final = 1800.0
WARM_UP_SECONDS: Final = 20.0
"""Traffic before the first fault, so that the dashboards show the time before it."""
_STOP_SECONDS: Final = 240.0


def choose(known: Mapping[str, Fault], names: Sequence[str], seed: int | None, rounds: int = 1) -> list[str]:
    """Different faults of these, or of all, at random.

    Raises:
        UserError: there is no such fault, or there are fewer faults than rounds.
    """
    if unknown := set(names) - known.keys():
        raise UserError(
            f"there is no fault {min(unknown)!r}; `./wct check drill --list` lists the faults, for trainers"
        )
    candidates = sorted(set(names) or known)
    if rounds > len(candidates):
        raise UserError(f"{rounds} rounds need as many faults; there are {len(candidates)}")
    return Random(seed).sample(candidates, rounds)


def drill(
    console: Console,
    *,
    names: Sequence[str] = (),
    answers: Sequence[str] = (),
    answers_from: Path | None = None,
    seed: int | None = None,
    rounds: int = 1,
    seconds: float = LIMIT_SECONDS,
    warm_up: float = WARM_UP_SECONDS,
    rate: float = 10,
    stack: str = "local",
) -> list[Round]:
    """Runs drills, each with another fault, and writes their reports.

    Args:
        console: where the engineer reads.
        names: the faults are some of these at random; by default of all.
        answers: lines in place of those of the terminal.
        answers_from: a file or named pipe into which lines are written, in place of the terminal.
        seed: of the random choice.
        rounds: the number of faults.
        seconds: the time for the answer of each round.
        warm_up: seconds of traffic before the first fault.
        rate: requests per second.
        stack: the stack; the cluster of any stack but the local one is refused.

    Raises:
        UserError: the stack is not the local one, is not up, cannot be reached, or another process injects faults.
    """
    cluster = LocalCluster(load_here(stack))
    known = faults(cluster.store)
    chosen = choose(known, names, seed, rounds)
    journal = Journal()
    played: list[Round] = []
    with journal.locked(), _input(answers, answers_from) as lines:
        _undo_remaining(cluster, journal, console)
        require_ready(cluster)
        gateway = f"http://{cluster.address(GATEWAY)}:{endpoints.SERVICE_PORT}"
        host = _Host(cluster, journal, console, lines, seconds)
        with Traffic(gateway, rate, keep=False, key=cluster.stack_key()):
            console.print(f"normal traffic runs; the page comes in about {warm_up:.0f} s or some more")
            time.sleep(warm_up)
            try:
                for number, name in enumerate(chosen, start=1):
                    played.append(host.play(name, known[name]))
                    if lines.ended or number == rounds:
                        break
                    host.recover(known[name], f"round {number + 1} of {rounds}")
            finally:
                if rounds > 1 and played:
                    path = write_summary(played, seed)
                    console.print(f"{path.read_text()}\nReport: {path}", markup=False)
    return played


class _Host:
    """Plays rounds with one engineer."""

    def __init__(self, cluster: LocalCluster, journal: Journal, console: Console, lines: Input, seconds: float) -> None:
        self._cluster = cluster
        self._journal = journal
        self._console = console
        self._lines = lines
        self._seconds = seconds
        self._signs = Signs(cluster)
        self._client = connect(cluster.settings.cluster)
        self._recovery = Recovery(self._signs.prometheus, self._not_ready)

    def play(self, name: str, fault: Fault) -> Round:
        """Injects a fault, pages, takes the answers, undoes the fault and writes the report."""
        # The watch begins before the injection, which can take so long that the first alert comes before the page.
        with (
            _undoing(self._console),
            AlertWatch(self._signs.prometheus) as watch,
            injected(name, fault.plan, self._cluster, self._journal),
        ):
            started, page = datetime.now(UTC), time.monotonic()
            if watch.previous:
                self._print(f"older than the fault: {', '.join(watch.previous)}")
            session = Session(fault, self._lines, self._print, limit=self._seconds)
            try:
                session.run()
            finally:
                self._print("the fault is undone now")
            alerts = watch.events(page)
        path = report.write(name, fault, session.result, alerts, watch.previous, started)
        self._print(f"{session.result.summary}\n{report.solution(fault)}\nReport: {path}")
        return Round(fault=name, result=session.result, first_alert=watch.first(fault.alerts))

    def recover(self, fault: Fault, what: str) -> None:
        """Waits until the stack is whole again, within a limit."""
        self._print(
            f"the stack recovers, for at most {WHOLE_SECONDS:.0f} s: all pods ready, no message waits, no alert but "
            f"those that look back for long; then comes the page of {what}"
        )
        if remaining := self._recovery.wait(lambda: self._signs.shows(fault)):
            self._print(f"still there, and older than the next fault: {'; '.join(remaining)}")

    def _not_ready(self) -> list[str]:
        settings = self._cluster.settings.cluster
        return [
            *(f"{name} has no ready pod" for name in missing(self._cluster)),
            *unready_pods(self._client, settings.namespace),
        ]

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False)


@contextlib.contextmanager
def _input(answers: Sequence[str], answers_from: Path | None) -> Iterator[Input]:
    if answers_from:
        with appended(answers_from) as lines:
            yield lines
    else:
        yield PreparedLines(answers) if answers else Lines()


def stop(console: Console) -> None:
    """Ends a running drill, and undoes what a killed one left in the cluster.

    Raises:
        UserError: the stack cannot be reached, or the other process does not end.
    """
    journal = Journal()
    with contextlib.suppress(ProcessLookupError):
        try:
            with journal.locked():
                pass
        except BusyError as busy:
            if busy.process is None:
                raise
            os.kill(busy.process, signal.SIGTERM)

    def is_ended() -> bool:
        with contextlib.suppress(BusyError), journal.locked():
            return True
        return False

    poll_until("the other process to undo its fault", is_ended, seconds=_STOP_SECONDS, every=0.25)
    with journal.locked():
        if not _undo_remaining(LocalCluster(load_here("local")), journal, console):
            console.print("no fault is in the local stack")


def list_names() -> list[str]:
    """The names of all faults."""
    return list(faults(endpoints.TEMPO))


def _undo_remaining(cluster: LocalCluster, journal: Journal, console: Console) -> bool:
    names = undo_remaining(cluster, journal)
    for name in names:
        console.print(f"undone: the fault {name}, which an earlier drill left in the cluster")
    return bool(names)


@contextlib.contextmanager
def _undoing(console: Console) -> Iterator[None]:
    """Explains what to do if the undoing fails or is interrupted."""
    try:
        yield
    except BaseException:
        if Journal().read():
            console.print("the fault may still be in the stack: `./wct check drill --stop` undoes it")
        raise
