"""Runs the dashboards check on a deployed stack."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from checks.dashboards import browser, own_grafana
from checks.dashboards.connection import Clients, connected, password_login
from checks.dashboards.links import Followed, Links
from checks.dashboards.own_grafana import Provisioning
from checks.dashboards.pages import Shot, visit
from checks.dashboards.panels import Model, panels
from checks.dashboards.run import Check, Failure, Result
from checks.dashboards.substitute import Window
from contracts import endpoints
from dashboards.catalog import dashboards, runbooks
from dashboards.datasources import datasources
from dashboards.rules import groups
from stack.clients.http import QueryError
from stack.settings import Settings
from stack.settings.monitoring import monitoring_config

_POINTS: Final = 240
"""Points of a series in the report."""


@dataclass(frozen=True, kw_only=True)
class StackReport:
    """What the check found."""

    result: Result
    links: Sequence[Followed]
    window: Window
    shots: Sequence[Shot]
    """The dashboards as Grafana draws them."""
    not_drawn: str
    """Why Grafana drew none; empty if it did."""


def check_stack(settings: Settings, minutes: float, on_progress: Callable[[int], None]) -> StackReport:
    """Runs every query of the stack's dashboards over the last minutes, follows the links, and opens the pages.

    The pages are opened in headless Chromium: in the stack's Grafana, or in one that is started from `PATH`.

    Args:
        settings: the settings of the stack.
        minutes: the length of the window.
        on_progress: called once with the number of panels, then with 0 after each panel.

    Raises:
        DeployError: the stack cannot be reached.
    """
    scrape_seconds = settings.metrics.scrape_interval_seconds
    now = time.time()
    step = max(scrape_seconds, round(minutes * 60 / _POINTS))
    window = Window(start=now - minutes * 60, end=now, step=step)
    config = monitoring_config(settings)
    by_uid = dashboards(config)
    models = list(by_uid.values())
    with connected(settings) as clients:
        on_progress(sum(len(panels(model)) for model in models))
        check = Check(clients.sources(), clients.prometheus, window, scrape_seconds)
        result = check.run(models, groups(config), lambda: on_progress(0))
        provisioned = datasources(
            backend=settings.traces.backend,
            traces_url=clients.urls.get(endpoints.TRACES_UID),
            prometheus_url=clients.urls[endpoints.PROMETHEUS_UID],
            loki_url=clients.urls.get(endpoints.LOGS_UID),
            access=clients.access,
            names=config.names,
        )
        links = _links(clients, provisioned, window)
        provisioning = Provisioning(datasources=provisioned, dashboards=by_uid, runbooks=runbooks(config))
        shots, failures, not_drawn = _drawn(clients, provisioning, models, minutes)
    return StackReport(
        result=replace(result, failures=[*result.failures, *failures]),
        links=links,
        window=window,
        shots=shots,
        not_drawn=not_drawn,
    )


def _links(clients: Clients, provisioned: Mapping[str, Any], window: Window) -> list[Followed]:
    """Follow the links between the stores: each of them begins or ends at a trace."""
    if clients.traces is None:
        return []
    return Links(
        provisioned=provisioned,
        names=clients.settings.grafana.names,
        traces=clients.traces,
        prometheus=clients.prometheus,
        loki=clients.loki,
        window=window,
    ).follow()


def _drawn(
    clients: Clients, provisioning: Provisioning, models: Sequence[Model], minutes: float
) -> tuple[list[Shot], list[Failure], str]:
    """Return the pages of Grafana, what is wrong on them, and why there are none."""
    login = clients.login
    chromium, home = browser.installed(), own_grafana.installed()
    if chromium is None:
        return [], [], f"no browser on PATH ({', '.join(browser.COMMANDS)})"
    if login is None and home is None:
        return [], [], "the check may query no Grafana of the stack, and there is none on PATH"
    if login and login.ca:
        return [], [], "Chromium does not know the authority of Grafana's certificate (grafana.external.ca)"
    with contextlib.ExitStack() as programs:
        try:
            if login is None:
                assert home is not None
                grafana = own_grafana.running(home, provisioning, clients.variables)
                login = password_login(*programs.enter_context(grafana))
            page = programs.enter_context(browser.browser(chromium))
            page.authorize(login.authorization)
            shots, failures = visit(page, login.url, models, minutes)
        except (browser.BrowserError, QueryError) as error:
            return [], [Failure(dashboard="pages", where="Grafana", what=str(error))], ""
    return shots, failures, ""
