"""Runs the dashboards check on a deployed stack."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx

from checks.dashboards.grafana import Grafana
from checks.dashboards.links import Followed, Links
from checks.dashboards.panels import panels
from checks.dashboards.run import Check, Result
from checks.dashboards.sources import LokiSource, PrometheusSource, Source, TraceSource
from checks.dashboards.substitute import Window
from contracts import endpoints, secret_keys
from dashboards.catalog import dashboards
from dashboards.datasources import datasources
from dashboards.rules import groups
from stack.clients.loki import LokiClient
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret
from stack.kubernetes.port_forward import forward
from stack.settings import Settings
from stack.settings.monitoring import monitoring_config

_POINTS: Final = 240
"""Points of a series in the report."""


@dataclass(frozen=True, kw_only=True)
class _Clients:
    """The stores of a stack, and its Grafana, if it has one."""

    prometheus: PrometheusClient
    traces: TraceStoreClient
    loki: LokiClient | None
    grafana: Grafana | None

    def sources(self) -> Mapping[str, Source]:
        """The source of each datasource. Grafana answers for metrics and logs, so that its datasources are checked."""
        sources: dict[str, Source] = {
            endpoints.PROMETHEUS_UID: self.grafana or PrometheusSource(self.prometheus),
            endpoints.TRACES_UID: TraceSource(self.traces),
        }
        if self.loki:
            sources[endpoints.LOGS_UID] = self.grafana or LokiSource(self.loki)
        return sources


def check_stack(
    settings: Settings, minutes: float, on_progress: Callable[[int], None]
) -> tuple[Result, list[Followed], Window]:
    """Runs every query of the stack's dashboards over the last minutes, and follows the links.

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
    models = list(dashboards(config).values())
    with _connect(settings) as clients:
        on_progress(sum(len(panels(model)) for model in models))
        check = Check(clients.sources(), clients.prometheus, window, scrape_seconds)
        result = check.run(models, groups(config), lambda: on_progress(0))
        provisioned = datasources(
            backend=settings.traces.backend,
            traces_url="",
            prometheus_url="",
            loki_url="http://loki" if clients.loki else "",
        )
        links = Links(
            provisioned=provisioned,
            traces=clients.traces,
            prometheus=clients.prometheus,
            loki=clients.loki,
            window=window,
        ).follow()
    return result, links, window


@contextlib.contextmanager
def _connect(settings: Settings) -> Iterator[_Clients]:
    """Connects to the stores: through Grafana's proxy if the stack has Grafana, otherwise to each of them."""
    namespace, backend = settings.cluster.namespace, settings.traces.backend
    client = connect(settings.cluster)
    stores = {
        endpoints.PROMETHEUS_UID: (endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT),
        endpoints.TRACES_UID: endpoints.TRACE_QUERY[backend],
    }
    if settings.logs.enabled:
        stores[endpoints.LOGS_UID] = (endpoints.LOKI, endpoints.LOKI_PORT)
    with contextlib.ExitStack() as connections:
        http = connections.enter_context(httpx.Client())
        grafana = None
        if settings.grafana.enabled:
            values = read_secret(client, namespace, secret_keys.SECRET)
            http.auth = httpx.BasicAuth("admin", values[secret_keys.GRAFANA_ADMIN_PASSWORD])
            forwarded = connections.enter_context(forward(client, namespace, endpoints.GRAFANA, endpoints.GRAFANA_PORT))
            url = forwarded + urlsplit(settings.grafana.url).path
            grafana = Grafana(http, url)
            urls = {uid: f"{url}/api/datasources/proxy/uid/{uid}" for uid in stores}
        else:
            urls = {
                uid: connections.enter_context(forward(client, namespace, name, port))
                for uid, (name, port) in stores.items()
            }
        yield _Clients(
            prometheus=PrometheusClient(urls[endpoints.PROMETHEUS_UID], http.get),
            traces=TraceStoreClient(backend, urls[endpoints.TRACES_UID], http.get),
            loki=LokiClient(urls[endpoints.LOGS_UID], http.get) if settings.logs.enabled else None,
            grafana=grafana,
        )
