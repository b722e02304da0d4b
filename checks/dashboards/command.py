"""`make dashboards-check STACK=…`: runs every query of the dashboards, follows the links, and writes a report."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from checks.dashboards.links import Followed
from checks.dashboards.report import report
from checks.dashboards.run import Result
from checks.dashboards.stack import check_stack
from stack.settings import load_here
from stack.stores import unqueried_stores


def check_dashboards(stack: str, console: Console, *, minutes: float = 15, file: Path | None = None) -> bool:
    """Runs the check on a stack, prints the failures, and writes the report.

    Args:
        stack: its name.
        console: where the result is printed.
        minutes: the length of the window.
        file: the report, by default `.local/dashboards-STACK.html`.

    Returns:
        Whether everything works.

    Raises:
        UserError: the stack cannot be reached.
    """
    settings = load_here(stack)
    with _progress(console) as on_progress:
        checked = check_stack(settings, minutes, on_progress)
    file = file or Path(f".local/dashboards-{stack}.html")
    file.parent.mkdir(parents=True, exist_ok=True)
    heading = f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime(checked.window.end))} UTC, the last {minutes:g} minutes"
    file.write_text(report(stack, heading, checked.result, checked.links, checked.window, checked.shots))
    works = show(checked.result, list(checked.links), console)
    if checked.not_drawn:
        console.print(f"pages were not opened in Grafana: {checked.not_drawn}")
    elif checked.shots:
        drawn = sum(shot.panels for shot in checked.shots)
        console.print(f"{len(checked.shots)} pages ({drawn} panels) opened in Grafana: see the report")
    external = settings.grafana.external
    if external and not external.has_token:
        console.print("your Grafana was not queried: grafana.external.authorize is off; the stores were, directly")
    for problem in unqueried_stores(settings).values():
        console.print(f"not checked: {problem}")
    console.print(f"report: {file}")
    return works


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("panels", total=None)

        def on_progress(total: int) -> None:
            if total:
                progress.update(task, total=total)
            else:
                progress.advance(task)

        yield on_progress


def show(result: Result, links: list[Followed], console: Console) -> bool:
    """Prints the failures and a summary; returns whether there are no failures."""
    broken = [link for link in links if not link.ok]
    if result.failures or broken:
        table = Table(title="Failures", show_lines=True)
        for column in ("dashboard", "panel", "query and answer"):
            table.add_column(column, overflow="fold")
        for failure in result.failures:
            table.add_row(failure.dashboard, failure.where, failure.what)
        for link in broken:
            table.add_row("links", link.link, link.detail)
        console.print(table, markup=False)
    shown = sum(len(checked) for checked in result.dashboards.values())
    console.print(
        f"{len(result.dashboards)} dashboards, {shown} panels, {result.queries} queries, {result.variables} variables, "
        f"{result.alerts} alerts, {len(links)} links: {len(result.failures) + len(broken)} failures"
    )
    return not (result.failures or broken)
