"""Draws a trace: hop by hop as a tree, with a bar for when each hop ran."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from opentelemetry.trace import SpanKind
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from service.dev.traces import Hop, Trace
from service.tracing import attributes as keys

COLOURS: Final = {"gateway": "cyan", "task-manager": "green", "web-crawler": "magenta"}
_BAR_WIDTH: Final = 24
_MS: Final = 1_000_000


def draw(trace: Trace) -> RenderableType:
    """The trace with a line for each hop, and below it whatever failed."""
    begin = min(hop.start for hop in trace.hops)
    whole = max(hop.end for hop in trace.hops) - begin
    failed = [hop for hop in trace.hops if hop.failed]

    title = Text.assemble(
        ("trace ", "bold"),
        (trace.id, "bold"),
        f"  {len(trace.hops)} span{'s' if len(trace.hops) > 1 else ''} in {_time(whole)}",
    )
    title.append(f", {len(failed)} failed" if failed else "", "bold red")
    if not trace.complete:
        title.append("  incomplete: something it waited for did not happen", "yellow")

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for guide, hop in _lines(trace, None, ""):
        colour = COLOURS.get(hop.service, "white")
        table.add_row(
            Text.assemble((guide, "dim"), (hop.span.name, "bold red" if hop.failed else "")),
            Text(hop.service, colour),
            Text(f"+{_time(hop.start - begin)}", "dim"),
            _time(hop.end - hop.start),
            Text(_bar(hop, begin, whole), "red" if hop.failed else colour),
            Text(_notes(hop), "dim"),
        )
    return Group(title, table, *(_failure(hop) for hop in failed if _says_why(hop)), Text())


def _lines(trace: Trace, hop: Hop | None, indent: str) -> Iterator[tuple[str, Hop]]:
    children = trace.children(hop)
    for child in children:
        last = child is children[-1]
        yield f"{indent}{'└─ ' if last else '├─ '}" if hop else "", child
        yield from _lines(trace, child, f"{indent}{'   ' if last else '│  '}" if hop else "")


def _bar(hop: Hop, begin: int, whole: int) -> str:
    if whole <= 0:
        return ""
    left = round((hop.start - begin) / whole * _BAR_WIDTH)
    width = max(1, round((hop.end - hop.start) / whole * _BAR_WIDTH))
    left = min(left, _BAR_WIDTH - 1)
    return "·" * left + "━" * min(width, _BAR_WIDTH - left) + "·" * max(0, _BAR_WIDTH - left - width)


def _time(nanoseconds: int) -> str:
    milliseconds = nanoseconds / _MS
    return f"{milliseconds:.1f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.2f} s"


def _notes(hop: Hop) -> str:
    """What of the attributes one wants to see at a glance."""
    notes = []
    if status := hop.attribute(keys.HTTP_RESPONSE_STATUS_CODE):
        notes.append(str(status))
    if hop.span.kind is SpanKind.CLIENT and (url := hop.attribute(keys.URL_FULL)):
        notes.append(str(url))
    if (offset := hop.attribute(keys.MESSAGING_KAFKA_OFFSET)) is not None:
        notes.append(f"{hop.attribute(keys.MESSAGING_DESTINATION_PARTITION_ID)}/{offset}")
    if (rows := hop.attribute(keys.DB_ROWS_AFFECTED)) is not None:
        notes.append(f"{rows} row" if rows == 1 else f"{rows} rows")
    outcome = hop.attribute(keys.OUTCOME)
    if outcome and outcome != "success":
        notes.append(str(outcome))
    return " ".join(notes)


def _says_why(hop: Hop) -> bool:
    return bool(hop.span.status.description) or bool(hop.attribute(keys.ERROR_TYPE))


def _failure(hop: Hop) -> Text:
    why = hop.span.status.description or str(hop.attribute(keys.ERROR_TYPE))
    return Text.assemble(("✘ ", "red"), (hop.service, COLOURS.get(hop.service, "white")), f" {hop.span.name}: {why}")
