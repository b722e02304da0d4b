"""The report of a rollout: printed, and written as a Markdown page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.table import Table

from contracts.services import SERVICES
from stack.release.plan import Step
from stack.rollout.gate import Finding, Verdict, overall
from stack.rollout.traces import Difference
from stack.settings import Settings

_COLORS: Final = {Verdict.SUCCESSFUL: "green", Verdict.INCONCLUSIVE: "yellow", Verdict.FAILED: "red"}


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """How a step ended."""

    title: str
    start: float
    """When the analysis began, in s since the epoch."""
    end: float
    findings: Sequence[Finding] = field(default_factory=list)
    outcome: str = ""
    """How the step ended, if not by its analysis."""

    @property
    def verdict(self) -> Verdict:
        """The verdict of the analysis."""
        return overall(self.findings)


def plan_table(steps: Sequence[Step], settings: Settings) -> Table:
    """The stages of a rollout, and the pods of each."""
    table = Table(title="Stages: pods that are stable + baseline + canary")
    for column in ("stage", "weight", "actual", *SERVICES, "sampling", "at least"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for step in steps:
        if step.stage is None:
            continue
        rate = settings.tracing.sampling_rate if step.stage.sampling_rate is None else step.stage.sampling_rate
        table.add_row(
            str(step.number),
            f"{step.stage.share:.0%}",
            f"{step.share:.0%}",
            *(f"{split.stable} + {split.baseline} + {split.canary}" for split in step.splits.values()),
            f"{rate:g}",
            f"{step.stage.soak_seconds} s",
        )
    return table


def show_findings(findings: Sequence[Finding], console: Console) -> None:
    """Prints a table of findings."""
    table = Table()
    for column in ("check", "verdict", "canary", "baseline", "limit"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        verdict = f"[{_COLORS[finding.verdict]}]{finding.verdict.value}[/]"
        table.add_row(finding.check, verdict, finding.canary, finding.baseline, finding.limit)
    console.print(table)


def page(
    stack: str,
    changes: Sequence[str],
    results: Sequence[StepResult],
    outcome: str,
    *,
    picture: str = "",
    differences: Mapping[str, Sequence[Difference]] | None = None,
) -> str:
    """The report as Markdown: each step with its measurements, and the queries that repeat them.

    Args:
        stack: its name.
        changes: what the new version changes.
        results: the steps.
        outcome: how the run ended.
        picture: the file with the picture of the evidence.
        differences: title of a step → what differed in its traces.
    """
    lines = [f"# Rollout of stack {stack}", "", f"**{outcome}**", "", *(f"- {change}" for change in changes), ""]
    if picture:
        lines += [f"![the evidence of each check over time]({picture})", ""]
    queries: dict[str, int] = {}
    for result in results:
        lines += _section(result, queries)
        lines += _traces((differences or {}).get(result.title, ()))
    if queries:
        lines += ["## Queries", ""]
        lines += [f"{number}. `{query}`" for query, number in queries.items()]
    return "\n".join(lines) + "\n"


def _section(result: StepResult, queries: dict[str, int]) -> list[str]:
    """The lines of one step; adds its queries to those of the page."""
    times = f"{_clock(result.start)} to {_clock(result.end)} UTC, {result.end - result.start:.0f} s"
    lines = [f"## {result.title}: {result.outcome or result.verdict.value}", "", times, ""]
    if not result.findings:
        return lines
    lines += ["| check | verdict | canary | baseline | limit | query |", "|---|---|---|---|---|---|"]
    for finding in result.findings:
        number = queries.setdefault(finding.query, len(queries) + 1) if finding.query else None
        cells = [finding.check, finding.verdict.value, finding.canary, finding.baseline, finding.limit]
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} | {number or ''} |")
    return [*lines, ""]


def _traces(differences: Sequence[Difference]) -> list[str]:
    """What differs in the traces of one step."""
    if not differences:
        return []
    lines = ["| traces differ in | of | canary | baseline | examples |", "|---|---|---|---|---|"]
    for it in differences:
        cells = [it.kind, it.name, it.canary, it.baseline, ", ".join(f"`{trace_id}`" for trace_id in it.trace_ids)]
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    return [*lines, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _clock(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")
