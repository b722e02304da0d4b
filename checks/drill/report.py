"""The report of a drill, as Markdown: what was injected, what happened when, and what would have shown it."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from checks.drill.session import Event, Result
from checks.faults.model import CAUSES, HOPS, Choice, Fault
from stack.settings import ROOT

FOLDER: Final = ROOT / ".local" / "drills"


def write(
    name: str, fault: Fault, result: Result, alerts: Sequence[Event], previous: Sequence[str], started: datetime
) -> Path:
    """Writes the report into `.local/drills`; returns its path."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{started:%Y-%m-%dT%H-%M-%S}-{name}.md"
    path.write_text(report(name, fault, result, alerts, previous, started))
    return path


def report(
    name: str, fault: Fault, result: Result, alerts: Sequence[Event], previous: Sequence[str], started: datetime
) -> str:
    """The report.

    Args:
        name: of the fault.
        fault: the fault.
        result: how the drill went.
        alerts: when alerts became pending or fired, in s since the page.
        previous: which alerts were pending or firing before the fault.
        started: when the page was sent.
    """
    evidence = fault.evidence
    lines = [
        f"# Drill: {name}",
        "",
        f"{started:%Y-%m-%d %H:%M:%S} UTC. {result.summary.capitalize()}.",
        "",
        "| | |",
        "|---|---|",
        f"| fault | {fault.title} |",
        f"| hop | {_titles(fault.hops, HOPS)} |",
        f"| cause | {_titles(fault.causes, CAUSES)} |",
        f"| hints | {result.hints} of {len(fault.hints)} |",
        f"| wrong answers | {result.wrong} |",
        f"| alerts before the fault | {', '.join(previous) or 'no alert'} |",
        f"| undone | {fault.undo} |",
        "",
        "## Timeline",
        "| s | |",
        "|---|---|",
        *(
            f"| {event.seconds:.0f} | {_cell(event.text)} |"
            for event in sorted([*result.events, *alerts], key=lambda event: event.seconds)
        ),
        "",
        "## What shows it",
        f'- Dashboard **{evidence.dashboard}**, panel "{evidence.panel}".',
        f"- {evidence.trace}",
        f"- Runbook: {_runbook(fault)}.",
        *_query(evidence.query),
        "",
        "## Hints",
        *(f"{number}. {hint}" for number, hint in enumerate(fault.hints, start=1)),
        "",
    ]
    return "\n".join(lines)


def solution(fault: Fault) -> str:
    """The fault and what shows it, as the engineer reads it at the end."""
    evidence = fault.evidence
    return "\n".join(
        (
            f"The fault: {fault.title}.",
            f"  hop: {_titles(fault.hops, HOPS)}",
            f"  cause: {_titles(fault.causes, CAUSES)}",
            f'  dashboard {evidence.dashboard}, panel "{evidence.panel}"',
            f"  {evidence.trace}",
            f"  runbook: {_runbook(fault)}",
        )
    )


def _runbook(fault: Fault) -> str:
    name = fault.evidence.runbook
    return f"dashboards/runbooks/{name}.md" if name else "none: no alert reports this fault"


def _query(query: str) -> list[str]:
    if not query:
        return ["- No metric shows it."]
    return ["- This query has a result only while the fault is there:", "", "  ```promql", f"  {query}", "  ```"]


def _titles(names: Sequence[str], items: Sequence[Choice]) -> str:
    titles = {item.name: item.title for item in items}
    return _cell(", or ".join(titles[name] for name in names))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
