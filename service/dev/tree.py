"""Draws a trace as a tree of its spans, with a bar that shows when each span ran."""

from collections.abc import Iterator
from typing import Final

from opentelemetry.trace import SpanKind
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from contracts.services import SERVICES
from lean_tracing import attributes as keys
from service.common.span_attributes import OWN
from service.dev.traces import ServiceSpan, Trace

_COLOURS: Final = ("cyan", "green", "magenta", "blue", "yellow")
_BAR_WIDTH: Final = 24
_MS: Final = 1_000_000


def colour(service: str) -> str:
    """The colour of a service."""
    return _COLOURS[SERVICES.index(service) % len(_COLOURS)]


def draw(trace: Trace) -> RenderableType:
    """The trace with a line for each span, followed by the failures."""
    begin = min(span.start for span in trace.spans)
    whole = max(span.end for span in trace.spans) - begin
    failed = [span for span in trace.spans if span.is_failed]

    title = Text.assemble(
        ("trace ", "bold"),
        (trace.id, "bold"),
        f"  {len(trace.spans)} span{'s' if len(trace.spans) > 1 else ''} in {_time(whole)}",
    )
    title.append(f", {len(failed)} failed" if failed else "", "bold red")
    if not trace.is_complete:
        title.append("  incomplete: a span or a message that it waits for did not arrive", "yellow")

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for guide, span in _lines(trace, None, ""):
        table.add_row(
            Text.assemble((guide, "dim"), (span.span.name, "bold red" if span.is_failed else "")),
            Text(span.service, colour(span.service)),
            Text(f"+{_time(span.start - begin)}", "dim"),
            _time(span.end - span.start),
            Text(_bar(span, begin, whole), "red" if span.is_failed else colour(span.service)),
            Text(_notes(span), "dim"),
        )
    return Group(title, table, *(_failure(span) for span in failed if _has_reason(span)), Text())


def _lines(trace: Trace, span: ServiceSpan | None, indent: str) -> Iterator[tuple[str, ServiceSpan]]:
    children = trace.children(span)
    for child in children:
        last = child is children[-1]
        yield f"{indent}{'└─ ' if last else '├─ '}" if span else "", child
        yield from _lines(trace, child, f"{indent}{'   ' if last else '│  '}" if span else "")


def _bar(span: ServiceSpan, begin: int, whole: int) -> str:
    if whole <= 0:
        return ""
    left = round((span.start - begin) / whole * _BAR_WIDTH)
    width = max(1, round((span.end - span.start) / whole * _BAR_WIDTH))
    left = min(left, _BAR_WIDTH - 1)
    return "·" * left + "━" * min(width, _BAR_WIDTH - left) + "·" * max(0, _BAR_WIDTH - left - width)


def _time(nanoseconds: int) -> str:
    milliseconds = nanoseconds / _MS
    return f"{milliseconds:.1f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.2f} s"


def _notes(span: ServiceSpan) -> str:
    """The attributes that are worth a glance."""
    notes = []
    if status := span.attribute(keys.HTTP_RESPONSE_STATUS_CODE):
        notes.append(str(status))
    if span.span.kind is SpanKind.CLIENT and (url := span.attribute(keys.URL_FULL)):
        notes.append(str(url))
    if (offset := span.attribute(keys.MESSAGING_KAFKA_OFFSET)) is not None:
        notes.append(f"{span.attribute(keys.MESSAGING_DESTINATION_PARTITION_ID)}/{offset}")
    if (rows := span.attribute(OWN.db_rows_affected)) is not None:
        notes.append(f"{rows} row" if rows == 1 else f"{rows} rows")
    outcome = span.attribute(OWN.outcome)
    if outcome and outcome != "success":
        notes.append(str(outcome))
    return " ".join(notes)


def _has_reason(span: ServiceSpan) -> bool:
    return bool(span.span.status.description) or bool(span.attribute(keys.ERROR_TYPE))


def _failure(span: ServiceSpan) -> Text:
    why = span.span.status.description or str(span.attribute(keys.ERROR_TYPE))
    return Text.assemble(("✘ ", "red"), (span.service, colour(span.service)), f" {span.span.name}: {why}")
