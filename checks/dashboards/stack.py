"""Runs the dashboards check on a deployed stack."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from checks.dashboards import browser, own_grafana
from checks.dashboards.grafana import Grafana
from checks.dashboards.links import Followed, Links
from checks.dashboards.own_grafana import Provisioning
from checks.dashboards.pages import Shot, log_in, visit
from checks.dashboards.panels import Model, panels
from checks.dashboards.run import Check, Failure, Result
from checks.dashboards.sources import LokiSource, PrometheusSource, Source, TraceSource
from checks.dashboards.substitute import Window
from contracts import endpoints, secret_keys
from dashboards.catalog import dashboards, runbooks
from dashboards.datasources import datasources
from dashboards.rules import groups
from stack.clients.http import QueryError
from stack.clients.loki import LokiClient
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret
from stack.kubernetes.port_forward import forward
from stack.settings import Settings
from stack.settings.monitoring import monitoring_config
from stack.stores import Stores

_POINTS: Final = 240
"""Points of a series in the report."""


@dataclass(frozen=True, kw_only=True)
class _Clients:
    """The stores of a stack, and its Grafana, if it has one."""

    prometheus: PrometheusClient
    traces: TraceStoreClient
    loki: LokiClient | None
    grafana: Grafana | None
    urls: Mapping[str, str]
    """Uid of a datasource → URL of the store."""
    login: tuple[str, str] | None
    """URL of the stack's Grafana and the password of `admin`."""
    access: Mapping[str, Mapping[str, Any]]
    """Uid → what a datasource needs for an external store, if Grafana is started for the check."""
    variables: Mapping[str, str]
    """The variables of Grafana that `access` refers to."""

    def sources(self) -> Mapping[str, Source]:
        """The source of each datasource. Grafana answers for metrics and logs, so that its datasources are checked."""
        sources: dict[str, Source] = {
            endpoints.PROMETHEUS_UID: self.grafana or PrometheusSource(self.prometheus),
            endpoints.TRACES_UID: TraceSource(self.traces),
        }
        if self.loki:
            sources[endpoints.LOGS_UID] = self.grafana or LokiSource(self.loki)
        return sources


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
    with _connect(settings) as clients:
        on_progress(sum(len(panels(model)) for model in models))
        check = Check(clients.sources(), clients.prometheus, window, scrape_seconds)
        result = check.run(models, groups(config), lambda: on_progress(0))
        provisioned = datasources(
            backend=settings.traces.backend,
            traces_url=clients.urls[endpoints.TRACES_UID],
            prometheus_url=clients.urls[endpoints.PROMETHEUS_UID],
            loki_url=clients.urls.get(endpoints.LOGS_UID),
            access=clients.access,
        )
        links = Links(
            provisioned=provisioned,
            traces=clients.traces,
            prometheus=clients.prometheus,
            loki=clients.loki,
            window=window,
        ).follow()
        provisioning = Provisioning(datasources=provisioned, dashboards=by_uid, runbooks=runbooks(config))
        shots, failures, not_drawn = _drawn(clients, provisioning, models, minutes)
    return StackReport(
        result=replace(result, failures=[*result.failures, *failures]),
        links=links,
        window=window,
        shots=shots,
        not_drawn=not_drawn,
    )


def _drawn(
    clients: _Clients, provisioning: Provisioning, models: Sequence[Model], minutes: float
) -> tuple[list[Shot], list[Failure], str]:
    """Return the pages of Grafana, what is wrong on them, and why there are none."""
    login = clients.login
    chromium, home = browser.installed(), own_grafana.installed()
    if chromium is None:
        return [], [], f"no browser on PATH ({', '.join(browser.COMMANDS)})"
    if login is None and home is None:
        return [], [], "the stack has no Grafana, and there is none on PATH"
    with contextlib.ExitStack() as programs:
        try:
            if login is None:
                assert home is not None
                login = programs.enter_context(own_grafana.running(home, provisioning, clients.variables))
            url, password = login
            with httpx.Client() as client:
                cookies = log_in(client, url, password)
            page = programs.enter_context(browser.browser(chromium))
            for name, value in cookies.items():
                page.set_cookie(name, value, url)
            shots, failures = visit(page, url, models, minutes)
        except (browser.BrowserError, QueryError) as error:
            return [], [Failure(dashboard="pages", where="Grafana", what=str(error))], ""
    return shots, failures, ""


@contextlib.contextmanager
def _connect(settings: Settings) -> Iterator[_Clients]:
    """Connects to the stores: through Grafana's proxy if the stack has Grafana, otherwise to each of them."""
    namespace, backend = settings.cluster.namespace, settings.traces.backend
    client = connect(settings.cluster)
    stores = Stores(settings=settings, client=client)
    uids = [endpoints.PROMETHEUS_UID, endpoints.TRACES_UID, *([endpoints.LOGS_UID] if settings.logs.enabled else [])]
    with contextlib.ExitStack() as connections:
        http = connections.enter_context(httpx.Client())
        grafana, login = None, None
        clients = dict.fromkeys(uids, http)
        access, credentials = ({}, {}) if settings.grafana.enabled else stores.datasource_access()
        if settings.grafana.enabled:
            values = read_secret(client, namespace, secret_keys.SECRET)
            http.auth = httpx.BasicAuth("admin", values[secret_keys.GRAFANA_ADMIN_PASSWORD])
            forwarded = connections.enter_context(forward(client, namespace, endpoints.GRAFANA, endpoints.GRAFANA_PORT))
            url = forwarded + urlsplit(settings.grafana.url).path
            grafana, login = Grafana(http, url), (url, values[secret_keys.GRAFANA_ADMIN_PASSWORD])
            urls = {uid: f"{url}/api/datasources/proxy/uid/{uid}" for uid in uids}
        else:
            reached = {uid: connections.enter_context(stores.connection(uid)) for uid in uids}
            urls, clients = (
                {uid: url for uid, (url, _) in reached.items()},
                {uid: it for uid, (_, it) in reached.items()},
            )
        yield _Clients(
            prometheus=PrometheusClient(urls[endpoints.PROMETHEUS_UID], clients[endpoints.PROMETHEUS_UID].get),
            traces=TraceStoreClient(backend, urls[endpoints.TRACES_UID], clients[endpoints.TRACES_UID].get),
            loki=LokiClient(urls[endpoints.LOGS_UID], clients[endpoints.LOGS_UID].get)
            if settings.logs.enabled
            else None,
            grafana=grafana,
            urls=urls,
            login=login,
            access=access,
            variables=credentials,
        )
