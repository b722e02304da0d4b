"""The results of rollouts, kept in a file, so that many of them can run in parts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

from rich.table import Table

_COLUMNS: Final = ("scenario", "rollouts", "as expected", "exposed: median, longest", "requests", "failed", "problems")


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of one rollout."""

    scenario: str
    code: int
    """Its exit code."""
    exposed_seconds: float
    requests: int
    failed: int
    """The number of requests that failed."""
    reason: str
    """Why the version went back."""
    problems: Sequence[str]
    """How it differs from what the scenario expects."""


def read(file: Path) -> list[Result]:
    """Returns the results of a file; none if there is no file."""
    if not file.is_file():
        return []
    return [Result(**json.loads(line)) for line in file.read_text().splitlines()]


def append(file: Path, result: Result) -> None:
    """Adds a result to a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        stream.write(f"{json.dumps(asdict(result))}\n")


def missing(names: Iterable[str], times: Mapping[str, int], results: Sequence[Result]) -> list[str]:
    """Returns the scenarios that are still to be run, each as often as it lacks results; the first of each come first.

    Args:
        names: of the scenarios.
        times: scenario → the results that it is to have.
        results: those that there are.
    """
    counts = {name: sum(result.scenario == name for result in results) for name in names}
    rounds = range(max(times.values(), default=0))
    return [name for number in rounds for name, count in counts.items() if count <= number < times[name]]


def summary(results: Sequence[Result]) -> Table:
    """A row for each scenario."""
    table = Table(title="Rollouts under load")
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for name in dict.fromkeys(result.scenario for result in results):
        group = [result for result in results if result.scenario == name]
        exposed = [result.exposed_seconds for result in group]
        table.add_row(
            name,
            str(len(group)),
            str(sum(not result.problems for result in group)),
            f"{median(exposed):.0f} s, {max(exposed):.0f} s",
            f"{sum(result.requests for result in group):,}",
            f"{sum(result.failed for result in group):,}",
            "; ".join(problem for result in group for problem in result.problems),
        )
    return table
