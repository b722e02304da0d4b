"""`make drill`: injects a fault into the local stack, pages, and compares the engineer's answer with the fault."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Final

import httpx
from rich.console import Console

from checks.chaos.cluster import LocalCluster
from checks.drill import report
from checks.drill.session import Event, Input, Result, Session
from checks.drill.terminal import Lines
from checks.faults.catalogue import faults
from checks.faults.journal import BusyError, Journal
from checks.faults.model import Fault
from checks.faults.stored import injected, undo_remaining
from checks.harness.traffic import Traffic
from contracts import endpoints
from contracts.errors import UserError
from contracts.services import GATEWAY
from stack.clients.prometheus import PrometheusClient
from stack.polling import poll_until
from stack.settings import load_here

LIMIT_SECONDS: Final = 1800.0
WARM_UP_SECONDS: Final = 20.0
"""Traffic before the fault, so that the dashboards show the time before it."""
_STOP_SECONDS: Final = 240.0
_WATCHDOG: Final = "Watchdog"


class Answers:
    """Prepared lines in place of a terminal."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = list(texts)
        self.ended = not texts

    def read(self, seconds: float) -> str | None:
        """The next line."""
        line = self._texts.pop(0) if self._texts else None
        self.ended = not self._texts
        return line


class AlertWatch:
    """Notes when alerts become pending or fire."""

    def __init__(self, prometheus: PrometheusClient) -> None:
        self._prometheus = prometheus
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._started = time.monotonic()
        self.events: list[Event] = []
        """In s since the context was opened."""

    def __enter__(self) -> "AlertWatch":
        self._known = self._states()
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _states(self) -> set[str]:
        with contextlib.suppress(httpx.HTTPError):
            return {f"alert {alert['labels']['alertname']} is {alert['state']}" for alert in self._prometheus.alerts()}
        return set()

    def _watch(self) -> None:
        while not self._ended.wait(1):
            seconds = time.monotonic() - self._started
            for text in sorted(self._states() - self._known):
                if _WATCHDOG not in text:
                    self.events.append(Event(seconds=seconds, text=text))
                self._known.add(text)


def choose(known: Mapping[str, Fault], names: Sequence[str], seed: int | None) -> str:
    """One of these faults, or of all, at random.

    Raises:
        UserError: there is no such fault.
    """
    if unknown := set(names) - known.keys():
        raise UserError(
            f"there is no fault {min(unknown)!r}; `./wct check drill --list` lists the faults, for trainers"
        )
    return Random(seed).choice(sorted(names or known))


def drill(
    console: Console,
    *,
    names: Sequence[str] = (),
    answers: Sequence[str] = (),
    seed: int | None = None,
    seconds: float = LIMIT_SECONDS,
    warm_up: float = WARM_UP_SECONDS,
    rate: float = 10,
    stack: str = "local",
) -> Result:
    """Runs one drill, and writes its report.

    Args:
        console: where the engineer reads.
        names: the fault is one of these at random; by default one of all.
        answers: lines in place of those of the terminal.
        seed: of the random choice.
        seconds: the time for the answer.
        warm_up: seconds of traffic before the fault.
        rate: requests per second.
        stack: the stack; the cluster of any stack but the local one is refused.

    Raises:
        UserError: the stack is not the local one, cannot be reached, or another process injects faults.
    """
    cluster = LocalCluster(load_here(stack))
    known = faults(cluster.store)
    name = choose(known, names, seed)
    fault = known[name]
    journal = Journal()
    prometheus = f"http://{cluster.address(endpoints.PROMETHEUS)}:{endpoints.PROMETHEUS_PORT}"
    gateway = f"http://{cluster.address(GATEWAY)}:{endpoints.SERVICE_PORT}"
    lines: Input = Answers(answers) if answers else Lines()
    with journal.locked():
        _undo_remaining(cluster, journal, console)
        with Traffic(gateway, rate, keep=False):
            console.print(f"normal traffic runs; the page comes in about {warm_up:.0f} s or some more")
            time.sleep(warm_up)
            with _undoing(console), injected(name, fault.plan, cluster, journal):
                started = datetime.now(UTC)
                with AlertWatch(PrometheusClient(prometheus)) as watch:
                    session = Session(fault, lines, lambda text: console.print(text, markup=False), limit=seconds)
                    try:
                        session.run()
                    finally:
                        console.print("the fault is undone now", markup=False)
    path = report.write(name, fault, session.result, watch.events, started)
    console.print(f"{session.result.summary}. The fault: {fault.title}. Report: {path}", markup=False)
    return session.result


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
