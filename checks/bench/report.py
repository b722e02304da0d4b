"""Prints the results as tables."""

import statistics

from rich.console import Console
from rich.table import Table

from checks.bench.delivery import RATE, medians
from checks.bench.figures import (
    CONTROL_GOAL,
    Goal,
    Interval,
    Results,
    added,
    control,
    delivered,
    interval,
    quantile,
    ratio,
    spread,
)
from checks.bench.measure import ALTERNATIVES, BARE, NATIVE, OURS, STOCK, Series, Subject

_TITLES = {
    "varied": "one span with three attributes whose values occur once, in a loop",
    "sql": "SQL: a transaction that inserts a row",
    "produce": "Kafka publish",
    "consume": "Kafka consume",
    "request": "HTTP request, in process",
    "create": "HTTP + SQL + Kafka publish, in process",
    "process": "Kafka consume + SQL + publish",
    "span": "one span with three attributes, in a loop",
    "serve": "HTTP request over a socket",
}


def show(results: Results, console: Console) -> None:
    """Print every table, the goals last."""
    console.print("  ".join(f"{name} {value}" for name, value in results.machine.items()))
    console.print(_versions(results))
    for scenario, series in results.scenarios.items():
        console.print(_table(_TITLES[scenario], series))
        console.print(_ratio("this library / added cost of stock", ratio(series)))
        if NATIVE in series:
            console.print(_ratio("the native part / added cost of stock", ratio(series, NATIVE)))
            console.print(_ratio("the native part / without it", ratio(series, NATIVE, OURS)))
        for other in filter(series.__contains__, ALTERNATIVES):
            for against in filter(series.__contains__, (STOCK, OURS, NATIVE)):
                console.print(_ratio(f"{other} / added cost of {against}", ratio(series, other, against)))
        recording = [subject for subject in series if subject.mode == "on" and subject != BARE]
        if unlike := [str(subject) for subject in recording if not delivered(series, subject)]:
            console.print(
                f"[red]not all spans arrived, or with other values than those of stock: {', '.join(unlike)}[/]"
            )
        else:
            console.print("all spans of all variants arrived; what the scenario gave them is the same")
        same = control(series)
        bounds = f"95 %: {same.low:.3f} to {same.high:.3f}"
        console.print(f"CPU of two processes that do the same, one to the other: {same.value:.3f} ({bounds})")
        if scenario == "span":
            rates = (f"{subject} {1e6 / statistics.median(series[subject].cpu):,.0f}" for subject in (STOCK, OURS))
            console.print(f"spans per second and core, export included: {', '.join(rates)}")
        console.print()
    console.print(_memory(results))
    console.print(_deliveries(results))
    console.print(_starts(results.starts))
    goals = results.goals()
    console.print(_goals(goals))
    if any(goal.name == CONTROL_GOAL and not goal.met for goal in goals):
        console.print(
            "[red]Two processes that do the same differ by more than 2 %: other programs disturbed the run. Measure "
            "again on a quiet machine before you use these figures.[/]",
            soft_wrap=True,
        )


def _ratio(of: str, value: Interval) -> str:
    verdict = ", a tie" if value.is_tie else ""
    return f"added cost of {of}: {value.value:.3f} (95 %: {value.low:.3f} to {value.high:.3f}{verdict})"


def _versions(results: Results) -> Table:
    table = Table("", title="Packages of each variant", title_justify="left")
    table.add_column("versions")
    shown: dict[str, str] = {}
    for series in results.scenarios.values():
        for subject, values in series.items():
            shown.setdefault(subject.variant, ", ".join(f"{name} {each}" for name, each in values.versions.items()))
    for variant, versions in shown.items():
        table.add_row(variant, versions)
    return table


def _starts(series: dict[Subject, Series]) -> Table:
    title = "Start of a service: imports, and tracing with an HTTP application, in a new process"
    table = Table("", title=title, title_justify="left")
    for heading in ("ms until ready", "added ms", "95 %", "CPU ms", "added CPU ms", "95 %"):
        table.add_column(heading, justify="right")
    for subject, values in series.items():
        cells = []
        for measured, costs in ((values.wall, added(series, subject, "wall")), (values.cpu, added(series, subject))):
            cost = interval(costs)
            bounds = f"{cost.low / 1000:.1f} - {cost.high / 1000:.1f}"
            addition = ["", ""] if subject == BARE else [f"{cost.value / 1000:+.1f}", bounds]
            cells += [f"{statistics.median(measured) / 1000:.1f}", *addition]
        table.add_row(str(subject), *cells)
    return table


def _table(title: str, series: dict[Subject, Series]) -> Table:
    latency = any(values.latencies for values in series.values())
    headings = ["CPU µs", "quartiles", "added µs", "95 %", "wall µs", "spans", "received / ended"]
    table = Table("", title=title, title_justify="left")
    for heading in [*headings, *(["p50 µs", "p99 µs"] if latency else [])]:
        table.add_column(heading, justify="right")
    for subject, values in series.items():
        cpu = spread(values.cpu)
        cost = interval(added(series, subject))
        cells = [
            f"{cpu.median:.1f}",
            f"{cpu.low:.1f} - {cpu.high:.1f}",
            *(["", ""] if subject == BARE else [f"{cost.value:+.1f}", f"{cost.low:.1f} - {cost.high:.1f}"]),
            f"{statistics.median(values.wall):.1f}",
            f"{values.spans_per_operation:g}",
            f"{values.received} / {values.ended}",
        ]
        if latency:
            cells += [f"{quantile(values.latencies, share):.0f}" for share in (0.5, 0.99)]
        table.add_row(str(subject), *cells)
    return table


def _memory(results: Results) -> Table:
    table = Table("", title="Memory after the operations, new processes", title_justify="left")
    for heading in ("MiB", "lowest - highest", "added MiB"):
        table.add_column(heading, justify="right")
    bare = statistics.median(results.memory[BARE])
    for subject, values in results.memory.items():
        median = statistics.median(values)
        extra = "" if subject == BARE else f"{median - bare:+.1f}"
        table.add_row(str(subject), f"{median:.1f}", f"{min(values):.1f} - {max(values):.1f}", extra)
    return table


def _deliveries(results: Results) -> Table:
    table = Table("", title=f"One process that makes {RATE:,} spans per second", title_justify="left")
    for heading in ("spans/s made", "received / ended", "CPU µs for each"):
        table.add_column(heading, justify="right")
    for subject, (rate, cpu) in medians(results.deliveries).items():
        rounds = results.deliveries[subject]
        counts = f"{sum(item.received for item in rounds)} / {sum(item.made for item in rounds)}"
        table.add_row(str(subject), f"{rate:,.0f}", counts, f"{cpu:.1f}")
    return table


def _goals(goals: list[Goal]) -> Table:
    table = Table("", title="Goals of this library", title_justify="left")
    for heading in ("measured", "at most", ""):
        table.add_column(heading, justify="right")
    for goal in goals:
        verdict = "[green]met[/]" if goal.met else "[red]missed[/]"
        measured = f"{goal.measured:,.0f}" if goal.measured.is_integer() else f"{goal.measured:,.2f}"
        table.add_row(goal.name, f"{measured} {goal.unit}", f"{goal.limit:g} {goal.unit}", verdict)
    return table
