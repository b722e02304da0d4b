"""Runs the variants in turns and records the cost of each round.

A shared machine, or a changing CPU clock, distorts measurements that run one after the other. So each variant has a
process of its own, all run at the same time, and they take turns in many short rounds, each in random order. Any
disturbance then affects all variants. This library takes part twice: the difference between the two shows how far the
results of this run can be trusted.
"""

import contextlib
import http.client
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checks.bench.child import Child
from checks.bench.instrumentation import Mode, Variant, transport
from checks.bench.scenarios import ScenarioName

WARM_UP_OPERATIONS = 30
Tick = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A measured variant and its mode."""

    variant: Variant
    mode: Mode = "on"
    again: bool = False
    """Measured a second time, as a control."""

    def __str__(self) -> str:
        name = self.variant if self.mode == "on" else f"{self.variant}, {self.mode}"
        return f"{name}, again" if self.again else name


BARE = Subject(variant="bare")
STOCK = Subject(variant="stock")
OURS = Subject(variant="ours")
NATIVE = Subject(variant="native")
"""This library with its native part, which the others do not use."""
GRPC = Subject(variant="grpc")
"""This library with the transport of `STOCK`, which takes most of its memory."""
COMPARED = (BARE, STOCK, OURS)
CONTROL = Subject(variant="ours", again=True)
ALTERNATIVES = (Subject(variant="ddtrace"), Subject(variant="ddtrace-otlp"), Subject(variant="logfire"))
# Tracing that records no spans.
IDLE = tuple(Subject(variant=variant, mode=mode) for mode in ("unsampled", "off") for variant in ("stock", "ours"))


@dataclass(kw_only=True)
class Series:
    """µs per operation (one value per round), latencies in µs (one per request), and the number of spans."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    operations: int = 0
    spans_per_operation: float = 0.0
    received: int = 0
    contents: int = 0
    """A sum over what the received spans hold that all variants make alike; the same if all of them arrived."""
    values: int = 0
    """The same over the attributes that the scenario gives them, without those that a library adds."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of the packages that take part."""

    @property
    def ended(self) -> int:
        """Expected number of spans, from the spans of the first operations."""
        return round(self.spans_per_operation * self.operations)


@dataclass(frozen=True, kw_only=True)
class Peers:
    """Start the receiver and the mock brokers."""

    child: Child
    alternatives: Path | None = None
    """The Python that has `ALTERNATIVES`, if they are measured."""

    def python(self, subject: Subject) -> Path:
        """Return the Python that runs a subject."""
        if subject not in ALTERNATIVES:
            return Path(sys.executable)
        assert self.alternatives is not None
        return self.alternatives

    def worker(self, scenario: ScenarioName, subject: Subject, service: str) -> Child:
        """Start a process; `service` is the service name of its spans."""
        hello = self.child.hello
        receiver = hello[transport(subject.variant)]
        addresses = ["--service", service, "--receiver", receiver, "--kafka", hello["kafka"]]
        return Child(
            "checks.bench.worker", [scenario, subject.variant, subject.mode, *addresses], python=self.python(subject)
        )

    def sender(self, subject: Subject, receiver: str) -> Child:
        """Start a process that sends single spans to another receiver."""
        addresses = ["--service", str(subject), "--receiver", receiver, "--kafka", self.child.hello["kafka"]]
        return Child("checks.bench.worker", ["span", subject.variant, subject.mode, *addresses])

    def received(self, service: str) -> tuple[int, int, int]:
        """Return the number of received spans of a service, and the sums over their contents and given values."""
        spans, contents, values = self.child.ask("received").get(service, (0, 0, 0))
        return int(spans), int(contents), int(values)


@contextlib.contextmanager
def peers(alternatives: Path | None = None) -> Iterator[Peers]:
    """Run the peers; `alternatives` is the Python that has the alternatives, if they are measured."""
    with Child("checks.bench.peers") as child:
        yield Peers(child=child, alternatives=alternatives)


def rounds(
    peers: Peers, scenario: ScenarioName, subjects: Sequence[Subject], *, count: int, operations: int, tick: Tick
) -> dict[Subject, Series]:
    """Run `count` rounds of `operations` operations for each subject."""
    series = {subject: Series() for subject in subjects}
    with contextlib.ExitStack() as running:
        workers: dict[Subject, Child] = {}
        tick(f"{scenario}: starting {len(subjects)} processes")
        for subject in subjects:
            workers[subject] = running.enter_context(peers.worker(scenario, subject, _service(scenario, subject)))
        run = _Client(workers, running).run if scenario == "serve" else _run
        for subject in subjects:
            run(workers[subject], Series(), WARM_UP_OPERATIONS)
            series[subject].versions = workers[subject].hello["versions"]
            received, _, _ = peers.received(_service(scenario, subject))
            series[subject].operations = WARM_UP_OPERATIONS
            series[subject].spans_per_operation = received / WARM_UP_OPERATIONS
        for number in range(count):
            tick(f"{scenario}: round {number + 1} of {count}")
            for subject in random.sample(subjects, len(subjects)):
                run(workers[subject], series[subject], operations)
        for subject in subjects:
            counted = series[subject]
            counted.received, counted.contents, counted.values = peers.received(_service(scenario, subject))
    return series


def memory(
    peers: Peers, subjects: Sequence[Subject], *, repeats: int, operations: int, tick: Tick
) -> dict[Subject, list[float]]:
    """Measure the resident MiB of new processes after that many operations (HTTP, SQL, Kafka)."""
    chunk = 250  # flushed after each, so that no queue overflows
    resident: dict[Subject, list[float]] = {subject: [] for subject in subjects}
    for number in range(repeats):
        for subject in subjects:
            tick(f"memory: {subject}, {number + 1} of {repeats}")
            with peers.worker("create", subject, f"memory-{number}-{subject}") as worker:
                for _ in range(max(1, operations // chunk)):
                    worker.ask(min(chunk, operations))
                resident[subject].append(float(worker.ask("memory")["mib"]))
    return resident


def _service(scenario: ScenarioName, subject: Subject) -> str:
    return f"{scenario}-{subject}"


def _run(worker: Child, series: Series, operations: int) -> None:
    _note(series, worker.ask(operations), operations)


def _note(series: Series, cost: dict[str, Any], operations: int) -> None:
    series.cpu.append(cost["cpu"] / operations * 1e6)
    series.wall.append(cost["wall"] / operations * 1e6)
    series.operations += operations


class _Client:
    """Sends requests over one connection, one after the other, and measures each."""

    def __init__(self, workers: dict[Subject, Child], running: contextlib.ExitStack) -> None:
        self._connections: dict[int, http.client.HTTPConnection] = {}
        for worker in workers.values():
            connection = http.client.HTTPConnection("127.0.0.1", worker.hello["port"], timeout=10)
            running.callback(connection.close)
            self._connections[id(worker)] = connection

    def run(self, worker: Child, series: Series, operations: int) -> None:
        connection = self._connections[id(worker)]
        start = worker.ask(0)
        for _ in range(operations):
            started = time.perf_counter()
            connection.request("GET", "/items/7", headers={"Accept": "application/json"})
            answer = connection.getresponse()
            answer.read()
            series.latencies.append((time.perf_counter() - started) * 1e6)
            if answer.status != 200:
                raise RuntimeError(f"answered {answer.status}")
        after = worker.ask(0)
        _note(series, {name: after[name] - start[name] for name in ("cpu", "wall")}, operations)
