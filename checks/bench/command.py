"""`make bench` measures the cost of tracing; it takes several minutes, with `--quick` fewer."""

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from checks.bench.figures import Results
from checks.bench.measure import COMPARED, CONTROL, IDLE, Tick, memory, peers, rounds
from checks.bench.report import show
from checks.bench.scenarios import ScenarioName


@dataclass(frozen=True, kw_only=True)
class Size:
    """Amount of work: (rounds, operations per round) of each scenario; repeats and operations for memory."""

    scenarios: dict[ScenarioName, tuple[int, int]]
    # Scenarios that are also measured with spans that are not recorded.
    idle: tuple[ScenarioName, ...] = ("request", "span")
    memory_repeats: int
    memory_operations: int


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
        "serve": (9, 100),
    },
    memory_repeats=1,
    memory_operations=2000,
)


def measure(size: Size, tick: Tick) -> Results:
    """Run all measurements.

    Raises:
        ChildFailed: a measured process ended, or did not answer.
    """
    machine = {
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.1f}",
    }
    with peers() as running:
        scenarios = {
            str(name): rounds(
                running,
                name,
                (*COMPARED, CONTROL, *(IDLE if name in size.idle else ())),
                count=count,
                operations=operations,
                tick=tick,
            )
            for name, (count, operations) in size.scenarios.items()
        }
        used = memory(running, COMPARED, repeats=size.memory_repeats, operations=size.memory_operations, tick=tick)
    return Results(machine=machine, scenarios=scenarios, memory=used)


def run(console: Console, *, quick: bool = False, json_file: Path | None = None, must_meet_goals: bool = False) -> bool:
    """The command: measure, and print the results.

    Args:
        console: where the results are printed.
        quick: whether fewer rounds are enough.
        json_file: file for every round.
        must_meet_goals: whether a missed goal is a failure.

    Returns:
        False if a goal is missed that must be met.

    Raises:
        ChildFailed: a measured process failed.
    """
    with Console(stderr=True).status("starting") as status:
        results = measure(QUICK if quick else FULL, status.update)
    show(results, console)
    if json_file:
        json_file.write_text(json.dumps(results.document(), indent=1))
    return not must_meet_goals or all(goal.met for goal in results.goals())
