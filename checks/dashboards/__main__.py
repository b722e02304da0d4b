"""`make dashboards-check STACK=…`."""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from checks.dashboards.grafana import Grafana
from checks.dashboards.links import Followed, Links
from checks.dashboards.panels import panels
from checks.dashboards.report import report
from checks.dashboards.run import Check, Result
from checks.dashboards.sources import Jaeger, Loki, Prometheus, Source, Tempo
from checks.dashboards.substitute import Window
from contracts import endpoints, secret_keys
from dashboards.catalog import dashboards
from dashboards.datasources import datasources
from dashboards.rules import groups
from stack.errors import DeployError
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret
from stack.kubernetes.port_forward import forward
from stack.settings import Settings, SettingsError, load_here
from stack.settings.monitoring import monitoring_config

_STORES: Final[Mapping[str, type[Tempo] | type[Jaeger]]] = {"tempo": Tempo, "jaeger": Jaeger}


def check(settings: Settings, minutes: float, tick: Callable[[int], None]) -> tuple[Result, list[Followed], Window]:
    """Runs every query of the stack's dashboards over the last minutes, and follows the links.

    Through Grafana where the stack has one, so that its datasources are checked as well: metrics and lines as its
    panels get them, all else through its proxy.

    Args:
        settings: of the stack.
        minutes: how far back.
        tick: called with the number of panels when it is known, then with 0 for each one done.

    Raises:
        DeployError: the stack is not reached.
    """
    now = time.time()
    step = max(settings.metrics.scrape_interval_seconds, round(minutes * 60 / 240))
    window = Window(start=now - minutes * 60, end=now, step=step)
    client = connect(settings.cluster)
    with contextlib.ExitStack() as opened:

        def reach(name: str, port: int) -> str:
            return opened.enter_context(forward(client, settings.cluster.namespace, name, port))

        http = opened.enter_context(httpx.Client())
        places = {
            endpoints.PROMETHEUS_UID: (endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT),
            endpoints.TRACES_UID: endpoints.TRACE_QUERY[settings.traces.backend],
            **({endpoints.LOGS_UID: (endpoints.LOKI, endpoints.LOKI_PORT)} if settings.logs.enabled else {}),
        }
        if settings.grafana.enabled:
            values = read_secret(client, settings.cluster.namespace, secret_keys.SECRET)
            http.auth = httpx.BasicAuth("admin", values[secret_keys.GRAFANA_ADMIN_PASSWORD])
            grafana = reach(endpoints.GRAFANA, endpoints.GRAFANA_PORT)
            panels_ask: Source | None = Grafana(http, grafana)
            urls = {uid: f"{grafana}/api/datasources/proxy/uid/{uid}" for uid in places}
        else:
            panels_ask = None
            urls = {uid: reach(*place) for uid, place in places.items()}
        prometheus = Prometheus(http, urls[endpoints.PROMETHEUS_UID])
        traces = _STORES[settings.traces.backend](http, urls[endpoints.TRACES_UID])
        logs = Loki(http, urls[endpoints.LOGS_UID]) if settings.logs.enabled else None
        sources: Mapping[str, Source] = {
            endpoints.PROMETHEUS_UID: panels_ask or prometheus,
            endpoints.TRACES_UID: traces,
            **({endpoints.LOGS_UID: panels_ask or logs} if logs else {}),
        }
        config = monitoring_config(settings)
        models = list(dashboards(config).values())
        tick(sum(len(panels(model)) for model in models))
        result = Check(sources, prometheus, window, settings.metrics.scrape_interval_seconds).run(
            models, groups(config), lambda: tick(0)
        )
        provisioned = datasources(
            backend=settings.traces.backend,
            traces_url="",
            prometheus_url="",
            loki_url="" if logs is None else "http://loki",
        )
        links = Links(provisioned=provisioned, traces=traces, prometheus=prometheus, logs=logs, window=window).follow()
    return result, links, window


def show(result: Result, links: list[Followed], console: Console) -> bool:
    """Prints what is wrong and a summary; True if nothing is."""
    broken = [link for link in links if not link.ok]
    if result.failures or broken:
        table = Table(title="What does not work", show_lines=True)
        for column in ("where", "what", "asked, and what came back"):
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


def main() -> None:
    """Exit code 1 if anything does not work, 2 if the stack is not reached."""
    parser = argparse.ArgumentParser(
        prog="python -m checks.dashboards",
        description="Run every query of every dashboard against a stack, follow the links, and draw a report.",
    )
    parser.add_argument("stack", help="for example local or dev")
    parser.add_argument("--minutes", type=float, default=15, help="how far back to look (15)")
    parser.add_argument("--report", type=Path, help="where to write it (.local/dashboards-STACK.html)")
    asked = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    try:
        settings = load_here(asked.stack)
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("panels", total=None)

            def tick(total: int) -> None:
                if total:
                    progress.update(task, total=total)
                else:
                    progress.advance(task)

            result, links, window = check(settings, asked.minutes, tick)
    except (SettingsError, DeployError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    file = asked.report or Path(f".local/dashboards-{asked.stack}.html")
    file.parent.mkdir(parents=True, exist_ok=True)
    when = f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime(window.end))} UTC, the last {asked.minutes:g} minutes"
    file.write_text(report(asked.stack, when, result, links, window))
    fine = show(result, links, console)
    console.print(f"drawn: {file}")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
