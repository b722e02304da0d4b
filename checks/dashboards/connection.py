"""Connections of the check to a stack: through its Grafana if the check may query there, otherwise to each store."""

import base64
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import kubernetes

from checks.dashboards.grafana import Grafana
from checks.dashboards.sources import LokiSource, PrometheusSource, Source, TraceSource
from contracts import endpoints, secret_keys
from stack.clients.access import Access
from stack.clients.loki import LokiClient
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret
from stack.kubernetes.port_forward import forward
from stack.settings import Settings
from stack.stores import Stores


@dataclass(frozen=True, kw_only=True)
class Login:
    """A Grafana, and what it admits."""

    url: str
    authorization: str
    """The header `Authorization`."""
    ca: str = ""
    """PEM of the authority of its certificate; empty for the public ones."""


def password_login(url: str, password: str) -> Login:
    """Return the login of the user `admin`."""
    return Login(url=url, authorization="Basic " + base64.b64encode(f"admin:{password}".encode()).decode())


@dataclass(frozen=True, kw_only=True)
class Clients:
    """The stores of a stack, and its Grafana, if the check may query there."""

    settings: Settings
    urls: Mapping[str, str]
    """Uid of `endpoints` → URL of the store, or of Grafana's proxy to it."""
    http: Mapping[str, httpx.Client]
    """Uid of `endpoints` → client that has access to it."""
    login: Login | None
    access: Mapping[str, Mapping[str, Any]]
    """Uid of `endpoints` → what a datasource needs for an external store, if Grafana is started for the check."""
    variables: Mapping[str, str]
    """The variables of Grafana that `access` refers to."""

    @property
    def prometheus(self) -> PrometheusClient:
        """Evaluates variables and alerts."""
        return PrometheusClient(*self._of(endpoints.PROMETHEUS_UID))

    @property
    def traces(self) -> TraceStoreClient | None:
        """Searches traces; None if the trace store cannot be queried."""
        if endpoints.TRACES_UID not in self.urls:
            return None
        return TraceStoreClient(self.settings.traces.backend, *self._of(endpoints.TRACES_UID))

    @property
    def loki(self) -> LokiClient | None:
        """Reads log lines; None if the stack has no log store that can be queried."""
        return LokiClient(*self._of(endpoints.LOGS_UID)) if endpoints.LOGS_UID in self.urls else None

    def _of(self, uid: str) -> tuple[str, Any]:
        return self.urls[uid], self.http[uid].get

    def sources(self) -> dict[str, Source]:
        """Return uid in Grafana → source. Grafana answers for metrics and logs, so that its datasources are checked."""
        names = self.settings.grafana.names
        grafana = Grafana(self.http[endpoints.PROMETHEUS_UID], self.login.url) if self.login else None
        sources: dict[str, Source] = {
            endpoints.PROMETHEUS_UID: grafana or PrometheusSource(self.prometheus),
        }
        if self.traces:
            sources[endpoints.TRACES_UID] = TraceSource(self.traces)
        if self.loki:
            sources[endpoints.LOGS_UID] = grafana or LokiSource(self.loki)
        return {names.uid(uid): source for uid, source in sources.items()}


@contextlib.contextmanager
def connected(settings: Settings) -> Iterator[Clients]:
    """Connect to the stores.

    Raises:
        DeployError: the stack cannot be reached.
    """
    client = connect(settings.cluster)
    queried = {endpoints.TRACES_UID: settings.traces.queried, endpoints.LOGS_UID: settings.logs.queried}
    uids = [endpoints.PROMETHEUS_UID, *(uid for uid, value in queried.items() if value)]
    with contextlib.ExitStack() as connections:
        login = connections.enter_context(_login(settings, client))
        if login:
            headers = {"Authorization": login.authorization}
            http = connections.enter_context(Access(headers=headers, ca=login.ca).client())
            proxy = f"{login.url}/api/datasources/proxy/uid"
            yield Clients(
                settings=settings,
                urls={uid: f"{proxy}/{settings.grafana.names.uid(uid)}" for uid in uids},
                http=dict.fromkeys(uids, http),
                login=login,
                access={},
                variables={},
            )
            return
        stores = Stores(settings=settings, client=client)
        reached = {uid: connections.enter_context(stores.connection(uid)) for uid in uids}
        access, variables = stores.datasource_access()
        yield Clients(
            settings=settings,
            urls={uid: url for uid, (url, _) in reached.items()},
            http={uid: http for uid, (_, http) in reached.items()},
            login=None,
            access=access,
            variables=variables,
        )


@contextlib.contextmanager
def _login(settings: Settings, client: kubernetes.client.ApiClient) -> Iterator[Login | None]:
    """Yield the stack's Grafana, or the external one if the stack has a token of it."""
    grafana, namespace = settings.grafana, settings.cluster.namespace
    external = grafana.external
    if not grafana.enabled or (external and not external.has_token):
        yield None
        return
    values = read_secret(client, namespace, secret_keys.SECRET)
    if external:
        token = values.get(secret_keys.GRAFANA_TOKEN, "")
        yield Login(url=grafana.api_url, authorization=f"Bearer {token}", ca=external.ca or "")
        return
    with forward(client, namespace, endpoints.GRAFANA, endpoints.GRAFANA_PORT) as forwarded:
        url = forwarded + urlsplit(grafana.url).path
        yield password_login(url, values[secret_keys.GRAFANA_ADMIN_PASSWORD])
