"""The results of the rows as a Markdown table and as JSON, written after each row."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from checks.ha.model import Result, failures_text

_COLUMNS: Final = (
    "what happens",
    "lost tasks",
    "pages not crawled",
    "lost spans",
    "spans found after",
    "failed requests",
    "of ten minutes'",
    "requests fail during",
    "slowest answer",
    "whole again after",
    "alert",
    "other alerts",
)


def markdown(results: Sequence[Result]) -> str:
    """Return the table."""
    lines = [_line(_COLUMNS), _line(["---"] * len(_COLUMNS)), *(_line(_cells(result)) for result in results)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(result: Result) -> list[str]:
    alert = f"{result.alert} after {result.alerts[result.alert]:.0f} s" if result.alert else "none"
    return [
        result.row,
        f"{result.lost_tasks} of {result.tasks:,}",
        str(sum(result.task_errors.values())),
        f"{result.lost_spans} of {result.spans:,}",
        f"{result.searched_seconds:.0f} s",
        f"{result.failed} of {result.requests:,}",
        f"{result.failed_share:.2%}",
        f"{result.failing_seconds:.1f} s",
        f"{result.slowest_seconds:.1f} s",
        "not" if result.whole_seconds < 0 else f"{result.whole_seconds:.0f} s",
        alert,
        ", ".join(f"{name} after {result.alerts[name]:.0f} s" for name in result.other_alerts) or "none",
    ]


def write(results: Sequence[Result], directory: Path) -> None:
    """Writes `results.json` and `table.md`."""
    rows = [
        {
            **asdict(replace(result, reasons=dict(result.reasons))),  # it copies a Counter wrongly
            "expected": {
                "needed": sorted(result.expected.needed),
                "allowed": sorted(result.expected.allowed),
                "seconds": result.expected.seconds,
            },
            "failures": failures_text(result.reasons),
            "problems": result.problems,
        }
        for result in results
    ]
    (directory / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    (directory / "table.md").write_text(markdown(results))
