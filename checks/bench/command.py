"""`make bench` measures the cost of tracing; it takes several minutes, with `--quick` fewer."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from checks.bench.alternatives.environment import interpreter
from checks.bench.alternatives.requests_only import SCENARIOS as OF_ALTERNATIVES
from checks.bench.delivery import RATE, deliveries
from checks.bench.figures import Results, added
from checks.bench.measure import (
    ALTERNATIVES,
    BARE,
    COMPARED,
    CONTROL,
    GRPC,
    IDLE,
    NATIVE,
    OURS,
    STOCK,
    Subject,
    Tick,
    memory,
    peers,
    rounds,
)
from checks.bench.report import show
from checks.bench.scenarios import ScenarioName
from checks.bench.starts import starts
from contracts.errors import UserError
from local.native_part import NoCompilerError, compile_once
from stack.capacity.figures import record, this_run
from stack.settings import ROOT

KEPT: Final = ROOT / ".local" / "bench"
"""Where the rounds of each run are kept."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """Amount of work: (rounds, operations per round) of each scenario; repeats and operations for memory."""

    scenarios: dict[ScenarioName, tuple[int, int]]
    # Scenarios that are also measured with spans that are not recorded.
    idle: tuple[ScenarioName, ...] = ("request", "span")
    memory_repeats: int
    memory_operations: int
    delivery_repeats: int
    delivery_seconds: int
    start_repeats: int
    delivery_rate: int = RATE


FULL = Size(
    scenarios={
        "span": (40, 1000),
        "varied": (40, 1000),
        "request": (60, 250),
        "sql": (40, 250),
        "produce": (40, 250),
        "consume": (40, 250),
        "create": (40, 150),
        "process": (40, 150),
        "serve": (30, 200),
    },
    memory_repeats=3,
    memory_operations=10_000,
    delivery_repeats=3,
    delivery_seconds=10,
    start_repeats=30,
)
QUICK = Size(
    scenarios={
        "span": (15, 500),
        "varied": (15, 500),
        "request": (21, 150),
        "sql": (15, 150),
        "produce": (15, 150),
        "consume": (15, 150),
        "create": (15, 100),
        "process": (15, 100),
        "serve": (11, 100),
    },
    memory_repeats=1,
    memory_operations=2000,
    delivery_repeats=1,
    delivery_seconds=3,
    start_repeats=10,
)


def measure(size: Size, tick: Tick, alternatives: Path | None = None) -> Results:
    """Run all measurements; those of the native part where this machine has a C compiler.

    Args:
        size: amount of work.
        tick: is called with what is measured now.
        alternatives: the Python that has the alternatives, if they are measured.

    Raises:
        ChildFailed: a measured process ended, or did not answer.
        CompilationError: the native part cannot be compiled.
    """
    with_native: tuple[Subject, ...] = (NATIVE,)
    try:
        compile_once()
    except NoCompilerError:
        with_native = ()
    source = this_run()
    machine = {
        "machine": source.machine,
        "python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.1f}",
        "commit": source.version,
        "date": source.date,
    }
    others = ALTERNATIVES if alternatives else ()
    with peers(alternatives) as running:
        scenarios = {
            str(name): rounds(
                running,
                name,
                (
                    *COMPARED,
                    *with_native,
                    CONTROL,
                    *((GRPC, *IDLE) if name in size.idle else ()),
                    *(others if name in OF_ALTERNATIVES else ()),
                ),
                count=count,
                operations=operations,
                tick=tick,
            )
            for name, (count, operations) in size.scenarios.items()
        }
        used = memory(
            running,
            (*COMPARED, *with_native, GRPC),
            repeats=size.memory_repeats,
            operations=size.memory_operations,
            tick=tick,
        )
        delivered = deliveries(
            running,
            (STOCK, OURS, *with_native),
            repeats=size.delivery_repeats,
            seconds=size.delivery_seconds,
            tick=tick,
            rate=size.delivery_rate,
        )
        started = starts(running, (*COMPARED, *with_native, CONTROL, *others), repeats=size.start_repeats, tick=tick)
    return Results(machine=machine, scenarios=scenarios, memory=used, deliveries=delivered, starts=started)


FIGURES: Final[Mapping[ScenarioName, str]] = {
    "request": "library.request",
    "create": "library.create",
    "span": "library.span",
}
"""Scenario → the figure of the repository that its added CPU time is."""


def figures(results: Results) -> dict[str, list[float]]:
    """Return the figures of a run: name → the values of the rounds. The services have the native part."""
    memory = [traced - bare for traced, bare in zip(results.memory[NATIVE], results.memory[BARE], strict=True)]
    costs = {
        name: added(results.scenarios[scenario], NATIVE)
        for scenario, name in FIGURES.items()
        if scenario in results.scenarios
    }
    return {**costs, "library.memory": memory}


def _require_native_part() -> None:
    try:
        compile_once()
    except NoCompilerError as error:
        raise UserError(f"the figures are those of the native part, which cannot be compiled here: {error}") from None


def run(
    console: Console,
    *,
    quick: bool = False,
    only: Sequence[ScenarioName] = (),
    json_file: Path | None = None,
    with_alternatives: bool = False,
    must_meet_goals: bool = False,
    must_record: bool = False,
) -> bool:
    """The command: measure, and print the results.

    Args:
        console: where the results are printed.
        quick: whether fewer rounds are enough.
        only: the scenarios to measure; all if empty.
        json_file: file for every round; by default a new one below `KEPT`.
        with_alternatives: whether ddtrace and Logfire are measured too.
        must_meet_goals: whether a missed goal is a failure.
        must_record: whether the results become the figures of the repository.

    Returns:
        False if a goal is missed that must be met.

    Raises:
        ChildFailed: a measured process failed.
        AlternativesNotInstalled: a package of the alternatives cannot be installed.
        UserError: the results are to become figures, and the native part, whose figures these are, is missing.
    """
    if must_record:
        _require_native_part()
    size = QUICK if quick else FULL
    if only:
        size = replace(size, scenarios={name: size.scenarios[name] for name in only})
    with Console(stderr=True).status("starting") as status:
        if with_alternatives:
            status.update("installing ddtrace and Logfire into an environment of their own")
        results = measure(size, status.update, interpreter() if with_alternatives else None)
    show(results, console)
    file = json_file or KEPT / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results.document(), indent=1))
    console.print(f"every round, and the versions of all packages: {file}")
    if must_record:
        record(figures(results), this_run())
    return not must_meet_goals or all(goal.met for goal in results.goals())
