"""Prints what the smoke check measured."""

import json
import sys
from dataclasses import asdict

from rich.console import Console
from rich.tree import Tree

from stack.clients.traces import Span
from stack.smoke.check import Report


def show(report: Report) -> None:
    """Prints the trace as a tree, with its hops marked, and the times."""
    start = min(span.start for span in report.spans)
    hops = {span.span_id for span in report.hops.values()}
    tree = Tree(f"trace {report.trace_id}")
    branches: dict[str, Tree] = {}
    for span in report.spans:
        line = _line(span, start, is_hop=span.span_id in hops)
        branches[span.span_id] = branches.get(span.parent_id, tree).add(line)
    # In a file, no line is cut.
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(tree)
    print(_summary(report))
    counts = ", ".join(f"{service} {calls:.0f}" for service, calls in sorted(report.calls.items()))
    print(f"calls in the span metrics: {counts}")
    search = " ".join(map(str, report.search_query.values()))
    print(f"to repeat: GET {report.query} of the trace store; a search for {search}; {report.metrics_query}")


def show_json(report: Report) -> None:
    """Prints the report as JSON."""
    fields = {key: value for key, value in vars(report).items() if key not in ("hops", "spans")}
    print(json.dumps({**fields, "spans": [asdict(span) for span in report.spans]}, indent=2))


def _summary(report: Report) -> str:
    number = len(report.spans)
    if report.task_seconds is None:
        return (
            f"{number} of {number} spans in the store {report.trace_seconds:.1f} s after a Collector accepted them, "
            f"and found by a search after {report.search_seconds:.1f} s"
        )
    return (
        f"{len(report.hops)} of {len(report.hops)} hops of the edge table, {number} spans; task completed "
        f"after {report.task_seconds:.1f} s, whole trace in the store {report.trace_seconds:.1f} s later, "
        f"and found by a search {report.search_seconds:.1f} s after the task"
    )


def _line(span: Span, start: int, *, is_hop: bool) -> str:
    mark = "[green]✔[/]" if is_hop else "·"
    error = " [red]error[/]" if span.error else ""
    offset, duration = (span.start - start) / 1e6, (span.end - span.start) / 1e6
    name = f"[bold]{span.service}[/] {span.kind} {span.name}"
    return f"{mark} {name}  [dim]+{offset:.0f} ms, took {duration:.1f} ms[/]{error}"
