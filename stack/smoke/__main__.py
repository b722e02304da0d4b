"""`make smoke STACK=…`: the smoke check from the command line."""

import argparse
import json
import sys
from dataclasses import asdict

from rich.console import Console
from rich.tree import Tree

from stack.clients.traces import Span
from stack.kubernetes.apply import DeployError
from stack.polling import CheckFailure
from stack.settings import SettingsError, load_here
from stack.smoke.check import Report, check


def show(report: Report) -> None:
    """Prints the trace hop by hop."""
    first = min(span.start for span in report.spans)
    hops = {span.span_id for span in report.hops.values()}
    tree = Tree(f"trace {report.trace_id}")
    branches: dict[str, Tree] = {}
    for span in report.spans:
        branches[span.span_id] = branches.get(span.parent_id, tree).add(_line(span, first, span.span_id in hops))
    # Where the output is a file, no line is cut.
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(tree)
    print(
        f"{len(report.hops)} of {len(report.hops)} hops as the edge table has them, {len(report.spans)} spans; "
        f"task completed after {report.task_seconds:.1f} s, whole trace in the store {report.trace_seconds:.1f} s later"
    )
    counts = ", ".join(f"{service} {calls:.0f}" for service, calls in sorted(report.calls.items()))
    print(f"span metrics in Prometheus: {counts}")
    print(f"again: GET {report.query} of the trace store; {report.metrics_query}")


def _line(span: Span, first: int, is_hop: bool) -> str:
    mark = "[green]✔[/]" if is_hop else "·"
    error = " [red]error[/]" if span.error else ""
    at, took = (span.start - first) / 1e6, (span.end - span.start) / 1e6
    return f"{mark} [bold]{span.service}[/] {span.kind} {span.name}  [dim]+{at:.0f} ms, took {took:.1f} ms[/]{error}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stack.smoke", description="Follow one request through a stack.")
    parser.add_argument("--stack", required=True, help="for example local or dev")
    parser.add_argument("--json", action="store_true", help="print what was seen as JSON")
    arguments = parser.parse_args()
    try:
        report = check(load_here(arguments.stack))
    except (SettingsError, DeployError) as error:
        sys.exit(f"error: {error}")
    except CheckFailure as failure:
        sys.exit(f"smoke check failed: {failure}")
    if arguments.json:
        fields = {key: value for key, value in vars(report).items() if key not in ("hops", "spans")}
        print(json.dumps({**fields, "spans": [asdict(span) for span in report.spans]}, indent=2))
    else:
        show(report)


if __name__ == "__main__":
    main()
