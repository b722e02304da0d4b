"""What a rollout did and why, for people: printed, and kept as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from stack.rollout.gate import Finding, Verdict

_COLOURS = {Verdict.GOOD: "green", Verdict.OPEN: "yellow", Verdict.BAD: "red"}


@dataclass(kw_only=True)
class Passage:
    """One step as it went."""

    title: str
    began: float
    """In s since the epoch: when pods of the new version could first be asked."""
    ended: float = 0.0
    outcome: str = ""
    findings: Sequence[Finding] = field(default_factory=list)


def show(findings: Sequence[Finding], console: Console) -> None:
    """The table of a gate's judgements."""
    table = Table()
    for column in ("gate", "", "canary", "baseline", "limit"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        verdict = f"[{_COLOURS[finding.verdict]}]{finding.verdict.value}[/]"
        table.add_row(finding.gate, verdict, finding.canary, finding.baseline, finding.limit)
    console.print(table)


def page(stack: str, changes: Sequence[str], passages: Sequence[Passage], outcome: str) -> str:
    """The report, as Markdown: every step with its numbers, and the queries that repeat them."""
    lines = [f"# Rollout of stack {stack}", "", f"**{outcome}**", "", *(f"- {change}" for change in changes), ""]
    queries: dict[str, int] = {}
    for passage in passages:
        took = f"{_clock(passage.began)} to {_clock(passage.ended)} UTC, {passage.ended - passage.began:.0f} s"
        lines += [f"## {passage.title}: {passage.outcome}", "", took, ""]
        if passage.findings:
            lines += ["| gate | | canary | baseline | limit | query |", "|---|---|---|---|---|---|"]
            for finding in passage.findings:
                number = queries.setdefault(finding.query, len(queries) + 1) if finding.query else None
                cells = [finding.gate, finding.verdict.value, finding.canary, finding.baseline, finding.limit]
                lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} | {number or ''} |")
            lines.append("")
    if queries:
        lines += ["## Queries", ""]
        lines += [f"{number}. `{query}`" for query, number in queries.items()]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
