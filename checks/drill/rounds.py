"""The summary of several rounds of the drill: the time and costs of each, the median and the worst."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from checks.drill import report
from checks.drill.session import Result

MEDIAN_GOAL_SECONDS: Final = 180.0
WORST_GOAL_SECONDS: Final = 600.0


@dataclass(frozen=True, kw_only=True)
class Round:
    """One fault of a drill, and how it went."""

    fault: str
    result: Result
    first_alert: float | None = None
    """How many seconds after the injection began the first alert that the catalogue expects came; None if none did."""


def write_summary(rounds: Sequence[Round], seed: int | None) -> Path:
    """Writes the summary into `.local/drills`; returns its path."""
    report.FOLDER.mkdir(parents=True, exist_ok=True)
    path = report.FOLDER / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}-summary.md"
    path.write_text(summary(rounds, seed))
    return path


def summary(rounds: Sequence[Round], seed: int | None) -> str:
    """The summary, as Markdown.

    The median and the worst are those of the time without the costs of hints and wrong answers. A fault that was not
    found counts with the time that was spent on it, and misses the goal.
    """
    seconds = [item.result.seconds for item in rounds]
    median, worst = statistics.median(seconds), max(seconds)
    solved = sum(item.result.is_solved for item in rounds)
    lines = [
        f"# Drill: {len(rounds)} rounds",
        "",
        f"Seed: {'random' if seed is None else seed}. The first alert is one that the fault's entry in the catalogue "
        "expects; its time runs from the injection, the others from the page.",
        "",
        "| round | fault | found | s | with costs | hints | wrong answers | first alert of this fault |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(number, item) for number, item in enumerate(rounds, start=1)),
        "",
        "| | | goal |",
        "|---|---|---|",
        f"| found | {solved} of {len(rounds)} | all |",
        f"| median | {median:.0f} s | {MEDIAN_GOAL_SECONDS:.0f} s |",
        f"| worst | {worst:.0f} s | {WORST_GOAL_SECONDS:.0f} s |",
        f"| hints | {sum(item.result.hints for item in rounds)} | |",
        f"| wrong answers | {sum(item.result.wrong for item in rounds)} | |",
        "",
    ]
    return "\n".join(lines)


def _row(number: int, item: Round) -> str:
    result, alert = item.result, item.first_alert
    cells = (
        str(number),
        item.fault,
        "yes" if result.is_solved else "no",
        f"{result.seconds:.0f}",
        f"{result.score:.0f}",
        str(result.hints),
        str(result.wrong),
        "none" if alert is None else f"{alert:.0f} s",
    )
    return f"| {' | '.join(cells)} |"
