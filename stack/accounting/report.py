"""Prints the result of span accounting."""

import time

from rich.console import Console
from rich.table import Table

from dashboards.config import MonitoringConfig
from dashboards.rules.stages import legs
from stack.accounting.judge import RESTART_SECONDS
from stack.accounting.model import Accounting


def show(accounting: Accounting, config: MonitoringConfig, console: Console) -> None:
    """Prints the stages in their order; between them the waiting and missing spans; and the verdict."""
    console.print(_table(accounting, config))
    for line in _verdict(accounting, config):
        console.print(line, soft_wrap=True)


def _table(accounting: Accounting, config: MonitoringConfig) -> Table:
    table = Table()
    for heading in ("spans of the window", "count", "waiting", "missing", "within"):
        table.add_column(heading, justify="left" if heading.startswith("spans") else "right", no_wrap=True)
    counts = {count.stage: count for count in accounting.counts}
    is_accountable = accounting.route_changed_at is None
    way = legs(config)
    shown: set[str] = set()
    for leg, item in zip(way, accounting.differences, strict=True):
        for stage in (leg.source, *leg.given_up):
            if stage.name not in shown:
                table.add_row(stage.title, f"{counts[stage.name].spans:,}", "", "", "")
            shown.add(stage.name)
        color = "red" if item.lost and is_accountable else "dim"
        table.add_row(
            f"[dim]  {leg.title}[/]",
            "",
            f"[dim]{item.waiting:+,}[/]" if leg.waiting else "",
            f"[{color}]{max(0, item.missing):,}[/]" if is_accountable else "[dim]?[/]",
            f"[dim]±{item.tolerated:,}[/]" if is_accountable else "",
        )
    last = way[-1].target
    table.add_row(last.title, f"{counts[last.name].spans:,}", "", "", "")
    return table


def _verdict(accounting: Accounting, config: MonitoringConfig) -> list[str]:
    if accounting.route_changed_at is not None:
        return [f"[yellow]whether spans are missing in this window is unknown[/]: {_other_window(accounting)}"]
    reason = _tolerance_reason(accounting)
    lines = [
        f"{-item.missing:,} more spans left {item.title} than came in: a span that is sent again is counted again"
        for leg, item in zip(legs(config), accounting.differences, strict=True)
        if -item.missing > item.tolerated and not leg.has_other_sources
    ]
    lines += [
        f"[red]{item.missing:,} spans are missing {item.title}[/]; {item.tolerated:,} of them could be unknown, "
        f"{reason}. See dashboards/runbooks/SpansMissing.md"
        for item in accounting.differences
        if item.lost
    ]
    if accounting.is_lost:
        return lines
    most = max(count.spans for count in accounting.counts)
    if most and accounting.tolerated >= most:
        unknown = f"{accounting.tolerated:,} spans could be unknown, {reason}"
        return [*lines, f"[yellow]this window could hide a loss[/]: {unknown}. Use a longer or a later window"]
    unproved = [
        f"[yellow]{item.missing:,} spans are missing {item.title}, and whether they are lost is unknown[/]: "
        f"{item.tolerated:,} could be, {reason}. Use a later window"
        for item in accounting.differences
        if accounting.stopped_processes and item.missing > 0
    ]
    return [
        *lines,
        *(unproved or [f"[green]no loss is seen[/]; up to {accounting.tolerated:,} spans would not show, {reason}"]),
    ]


def _tolerance_reason(accounting: Accounting) -> str:
    stopped = accounting.stopped_processes
    if not stopped:
        return "which is the number between two scrapes"
    processes = f"{stopped} process{'es' if stopped != 1 else ''}"
    return (
        f"since {processes} stopped or could not be scraped in this time, and the spans counted after the last scrape "
        "of each are unknown"
    )


def _other_window(accounting: Accounting) -> str:
    """Return the reason why the window cannot be judged, and the window to use instead."""
    assert accounting.route_changed_at is not None
    clock = time.strftime("%H:%M:%S", time.localtime(accounting.route_changed_at))
    # Spans on their way at that moment are counted before and after it.
    minutes = int((accounting.end - accounting.route_changed_at - RESTART_SECONDS) // 60)
    advice = f"use --since={minutes}m" if minutes > 0 else "try again in some minutes, with --since=1m"
    return f"samplers were switched on or off within it, so until {clock} spans took another route; {advice}"
