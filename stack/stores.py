"""Connections to the gateway, the Collectors and the stores of a stack, with the rights of the user."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import httpx
import kubernetes

from contracts import endpoints, secret_keys
from contracts.services import GATEWAY
from stack.clients.access import Access
from stack.clients.loki import LokiClient
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient
from stack.components.loki.settings import CREDENTIALS as LOGS
from stack.components.shared.store import Credentials, ExternalStore
from stack.components.trace_store.settings import CREDENTIALS as TRACES
from stack.errors import DeployError
from stack.kubernetes.objects import read_secret
from stack.kubernetes.port_forward import forward
from stack.settings import Settings

_QUERY_SECONDS: Final = 30.0
"""The time that Prometheus has to answer, in s: some queries of the accounting read hours of many series."""


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Reaches the stores through the API server.

    Each method connects while its context is open. A pod may be replaced in the meantime, so keep contexts short.
    Each raises `DeployError` if no pod of the store is ready.
    """

    settings: Settings
    client: kubernetes.client.ApiClient

    @contextlib.contextmanager
    def prometheus(self) -> Iterator[PrometheusClient]:
        """Connects to Prometheus."""
        with self._connect(endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT) as (url, http):
            yield PrometheusClient(url, http.get, _QUERY_SECONDS)

    @contextlib.contextmanager
    def traces(self) -> Iterator[TraceStoreClient]:
        """Connects to the trace store."""
        backend = self.settings.traces.backend
        if external := self.settings.traces.external:
            with self._external(external, TRACES) as http:
                yield TraceStoreClient(backend, external.query_url, http.get)
            return
        with self._connect(*endpoints.TRACE_QUERY[backend]) as (url, http):
            yield TraceStoreClient(backend, url, http.get)

    @contextlib.contextmanager
    def loki(self) -> Iterator[LokiClient]:
        """Connects to Loki; raises `DeployError` if it is not part of the stack, too."""
        if not self.settings.logs.enabled:
            raise DeployError("the stack has no log store: `logs.enabled` is false")
        if external := self.settings.logs.external:
            with self._external(external, LOGS) as http:
                yield LokiClient(external.query_url, http.get)
            return
        with self._connect(endpoints.LOKI, endpoints.LOKI_PORT) as (url, http):
            yield LokiClient(url, http.get)

    @contextlib.contextmanager
    def gateway(self, track: str | None = None) -> Iterator[str]:
        """Yields the URL of a gateway, of one track of a rollout if `track` is given."""
        namespace = self.settings.cluster.namespace
        with forward(self.client, namespace, GATEWAY, endpoints.SERVICE_PORT, track=track) as url:
            yield url

    @contextlib.contextmanager
    def collector(self) -> Iterator[str]:
        """Yields the URL of a Collector that accepts OTLP over HTTP."""
        namespace = self.settings.cluster.namespace
        with forward(self.client, namespace, endpoints.COLLECTOR, endpoints.OTLP_HTTP_PORT) as url:
            yield url

    def _external(self, store: ExternalStore, credentials: Credentials) -> httpx.Client:
        """Returns a client of a store that the stack did not build, with the credentials from the stack's Secret."""
        headers = dict(store.headers)
        if store.authorize_queries:
            values = read_secret(self.client, self.settings.cluster.namespace, secret_keys.SECRET)
            headers["Authorization"] = values.get(credentials.query, "")
        return Access(headers=headers, ca=store.ca or "").client()

    @contextlib.contextmanager
    def _connect(self, name: str, port: int) -> Iterator[tuple[str, httpx.Client]]:
        with forward(self.client, self.settings.cluster.namespace, name, port) as url, httpx.Client() as http:
            yield url, http
