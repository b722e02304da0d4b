"""Prints what the smoke check measured."""

import json
import sys
from dataclasses import asdict

from rich.console import Console
from rich.tree import Tree

from stack.clients.traces import Span
from stack.smoke.model import Report, StoredTrace
from stack.stores import NO_TRACE_QUERIES


def show(report: Report) -> None:
    """Prints the trace as a tree, with its hops marked, and the times; or what is known without the trace."""
    if report.stored:
        _show_tree(report.trace_id, report.stored)
        print(_summary(report, report.stored))
    else:
        _show_acknowledged(report)
    counts = ", ".join(f"{service} {calls:.0f}" for service, calls in sorted(report.calls.items()))
    print(f"calls in the span metrics: {counts}")
    queries = [*(item.query for item in report.acknowledged), report.metrics_query]
    if report.stored:
        search = " ".join(map(str, report.stored.search_query.values()))
        queries = [f"GET {report.stored.query} of the trace store", f"a search for {search}", *queries]
    print(f"to repeat: {'; '.join(queries)}")


def show_json(report: Report) -> None:
    """Prints the report as JSON."""
    fields = {key: value for key, value in vars(report).items() if key not in ("stored", "acknowledged")}
    if report.stored:
        stored = {key: value for key, value in vars(report.stored).items() if key not in ("hops", "spans")}
        fields |= {**stored, "spans": [asdict(span) for span in report.stored.spans]}
    else:
        fields |= {"acknowledged": [asdict(item) for item in report.acknowledged]}
    print(json.dumps(fields, indent=2))


def _show_tree(trace_id: str, stored: StoredTrace) -> None:
    start = min(span.start for span in stored.spans)
    hops = {span.span_id for span in stored.hops.values()}
    tree = Tree(f"trace {trace_id}")
    branches: dict[str, Tree] = {}
    for span in stored.spans:
        line = _line(span, start, is_hop=span.span_id in hops)
        branches[span.span_id] = branches.get(span.parent_id, tree).add(line)
    # In a file, no line is cut.
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(tree)


def _show_acknowledged(report: Report) -> None:
    if report.task_seconds is not None:
        print(f"task completed after {report.task_seconds:.1f} s")
    for item in report.acknowledged:
        print(
            f"{item.program}: {item.accepted} spans accepted, those of the check among them; their receiver has "
            f"acknowledged {item.sent}, and refused none"
        )
    print(f"trace {report.trace_id} itself was not checked: {NO_TRACE_QUERIES}")


def _summary(report: Report, stored: StoredTrace) -> str:
    number = len(stored.spans)
    if report.task_seconds is None:
        return (
            f"{number} of {number} spans in the store {stored.trace_seconds:.1f} s after a Collector accepted them, "
            f"and found by a search after {stored.search_seconds:.1f} s"
        )
    return (
        f"{len(stored.hops)} of {len(stored.hops)} hops of the edge table, {number} spans\n"
        f"task completed after {report.task_seconds:.1f} s, whole trace in the store {stored.trace_seconds:.1f} s "
        f"later, found by a search {stored.search_seconds:.1f} s after the task"
    )


def _line(span: Span, start: int, *, is_hop: bool) -> str:
    mark = "[green]✔[/]" if is_hop else "·"
    error = " [red]error[/]" if span.error else ""
    offset, duration = (span.start - start) / 1e6, (span.end - span.start) / 1e6
    name = f"[bold]{span.service}[/] {span.kind} {span.name}"
    return f"{mark} {name}  [dim]+{offset:.0f} ms, took {duration:.1f} ms[/]{error}"
