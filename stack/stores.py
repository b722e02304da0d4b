"""Connections to the gateway, the Collectors and the stores of a stack, with the rights of the user."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
import kubernetes

from contracts import endpoints, secret_keys
from contracts.metadata import AUTHORITY, AUTHORITY_FILE
from contracts.services import GATEWAY
from stack.clients.access import Access
from stack.clients.loki import LokiClient
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient
from stack.components.loki.settings import CREDENTIALS as LOGS
from stack.components.shared.external_store import ExternalStore, QueriedStore
from stack.components.shared.store import environment_name, query_access
from stack.components.trace_store.settings import CREDENTIALS as TRACES
from stack.errors import DeployError
from stack.kubernetes.keys import ObjectKey
from stack.kubernetes.objects import read_object, read_secret
from stack.kubernetes.port_forward import forward
from stack.settings import Settings

_QUERY_SECONDS: Final = 30.0
"""The time that Prometheus has to answer, in s: some queries of the accounting read hours of many series."""


NO_TRACE_QUERIES: Final = "the trace store cannot be queried: `traces.external.queryUrl` is not set"
NO_LOG_QUERIES: Final = "the log store cannot be queried: `logs.external.queryUrl` is not set"


@dataclass(frozen=True)
class External:
    """A store that the stack did not build, and that can be queried."""

    url: str
    """Base URL of its query API."""
    store: QueriedStore | ExternalStore
    key: str
    """Of the secret that is the header `Authorization` of queries."""


def external_stores(settings: Settings) -> dict[str, External]:
    """Returns uid of the datasource → its store, for those that the stack did not build and that can be queried."""
    stores: dict[str, tuple[QueriedStore | ExternalStore | None, str]] = {
        endpoints.PROMETHEUS_UID: (settings.metrics.external, secret_keys.METRICS_QUERY_AUTHORIZATION),
        endpoints.TRACES_UID: (settings.traces.external, TRACES.query),
        endpoints.LOGS_UID: (settings.logs.external if settings.logs.enabled else None, LOGS.query),
    }
    return {
        uid: External(store.query_url, store, key) for uid, (store, key) in stores.items() if store and store.query_url
    }


def unqueried_stores(settings: Settings) -> dict[str, str]:
    """Returns uid of the datasource → why there is none, for the stores of a stack that only receive."""
    receives_only = settings.logs.enabled and not settings.logs.queried
    return {
        **({} if settings.traces.queried else {endpoints.TRACES_UID: NO_TRACE_QUERIES}),
        **({endpoints.LOGS_UID: NO_LOG_QUERIES} if receives_only else {}),
    }


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Reaches the stores through the API server.

    Each method connects while its context is open. A pod may be replaced in the meantime, so keep contexts short.
    Each raises `DeployError` if no pod of the store is ready, or if the store only receives.
    """

    settings: Settings
    client: kubernetes.client.ApiClient

    @contextlib.contextmanager
    def prometheus(self) -> Iterator[PrometheusClient]:
        """Connects to Prometheus."""
        with self.connection(endpoints.PROMETHEUS_UID) as (url, http):
            yield PrometheusClient(url, http.get, _QUERY_SECONDS)

    @contextlib.contextmanager
    def traces(self) -> Iterator[TraceStoreClient]:
        """Connects to the trace store."""
        with self.connection(endpoints.TRACES_UID) as (url, http):
            yield TraceStoreClient(self.settings.traces.backend, url, http.get)

    @contextlib.contextmanager
    def loki(self) -> Iterator[LokiClient]:
        """Connects to Loki; raises `DeployError` if it is not part of the stack, too."""
        if not self.settings.logs.enabled:
            raise DeployError("the stack has no log store: `logs.enabled` is false")
        with self.connection(endpoints.LOGS_UID) as (url, http):
            yield LokiClient(url, http.get)

    @contextlib.contextmanager
    def connection(self, uid: str) -> Iterator[tuple[str, httpx.Client]]:
        """Yields the URL of the store behind a datasource, and a client that has access to it."""
        if problem := unqueried_stores(self.settings).get(uid):
            raise DeployError(f"{problem}: set it, or ask the store itself")
        if external := external_stores(self.settings).get(uid):
            with self._client(external) as http:
                yield external.url, http
            return
        services = {
            endpoints.PROMETHEUS_UID: (endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT),
            endpoints.TRACES_UID: endpoints.TRACE_QUERY[self.settings.traces.backend],
            endpoints.LOGS_UID: (endpoints.LOKI, endpoints.LOKI_PORT),
        }
        namespace = self.settings.cluster.namespace
        with forward(self.client, namespace, *services[uid]) as url, httpx.Client() as http:
            yield url, http

    @contextlib.contextmanager
    def gateway(self, track: str | None = None) -> Iterator[str]:
        """Yields the URL of a gateway, of one track of a rollout if `track` is given."""
        namespace = self.settings.cluster.namespace
        with forward(self.client, namespace, GATEWAY, endpoints.SERVICE_PORT, track=track) as url:
            yield url

    @contextlib.contextmanager
    def collector(self) -> Iterator[tuple[str, httpx.Client]]:
        """Yields the URL of a Collector that accepts OTLP over HTTP, and a client that trusts it."""
        namespace, encrypted = self.settings.cluster.namespace, bool(self.settings.encryption.telemetry)
        ca = self._authority() if encrypted else ""
        with forward(self.client, namespace, endpoints.COLLECTOR, endpoints.OTLP_HTTP_PORT) as url:
            # The name in the certificate, for a port of this machine.
            reached = url.replace("http://127.0.0.1", "https://localhost") if encrypted else url
            with Access(ca=ca).client() as http:
                yield reached, http

    def _authority(self) -> str:
        """Returns the certificate of the authority of the Collectors, as PEM."""
        authority = read_object(self.client, self.settings.cluster.namespace, ObjectKey("v1", "ConfigMap", AUTHORITY))
        return str((authority or {}).get("data", {}).get(AUTHORITY_FILE, ""))

    def otlp_token(self) -> str:
        """Returns the bearer token of the Collectors, from the stack's Secret."""
        return read_secret(self.client, self.settings.cluster.namespace, secret_keys.SECRET).get(
            secret_keys.OTLP_TOKEN, ""
        )

    def stack_key(self) -> str:
        """Returns the API key of the stack's own programs, from the stack's Secret; empty if the gateway needs none."""
        if not self.settings.has_access_control:
            return ""
        return read_secret(self.client, self.settings.cluster.namespace, secret_keys.SECRET).get(
            secret_keys.STACK_KEY, ""
        )

    def datasource_access(self) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """Returns what the datasources of external stores have, by their uid, and the variables that they refer to."""
        external = external_stores(self.settings)
        access = {uid: query_access(it.store, it.key).grafana() for uid, it in external.items()}
        keys = [it.key for it in external.values() if it.store.authorize_queries]
        values = read_secret(self.client, self.settings.cluster.namespace, secret_keys.SECRET) if keys else {}
        return access, {environment_name(key): values.get(key, "") for key in keys}

    def _client(self, external: External) -> httpx.Client:
        """Returns a client of a store that the stack did not build, with the credentials from the stack's Secret."""
        store, headers = external.store, dict(external.store.headers)
        if store.authorize_queries:
            values = read_secret(self.client, self.settings.cluster.namespace, secret_keys.SECRET)
            headers["Authorization"] = values.get(external.key, "")
        return Access(headers=headers, ca=store.ca or "").client()
