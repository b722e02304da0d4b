"""Connections to the stores of a stack, each open for one question."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import httpx
import kubernetes

from contracts import endpoints
from stack.clients.loki import LokiClient
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient
from stack.errors import DeployError
from stack.kubernetes.port_forward import forward
from stack.release.journal import Journal, JournalStore
from stack.settings import Settings


class Sources(Protocol):
    """What the tools read."""

    @property
    def settings(self) -> Settings: ...

    def prometheus(self) -> AbstractContextManager[PrometheusClient]: ...

    def traces(self) -> AbstractContextManager[TraceStoreClient]: ...

    def loki(self) -> AbstractContextManager[LokiClient]: ...

    def journal(self) -> Journal | None:
        """The state of the rollout; None if none is under way and none was rolled back."""


@dataclass(frozen=True, kw_only=True)
class StackSources:
    """Reaches the stores through the API server, with the rights of the user.

    A connection lasts for one question, since a pod may be replaced between two of them.
    """

    settings: Settings
    client: kubernetes.client.ApiClient

    @contextlib.contextmanager
    def prometheus(self) -> Iterator[PrometheusClient]:
        """Raises `DeployError` if Prometheus is not ready."""
        with self._connect(endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT) as (url, http):
            yield PrometheusClient(url, http.get)

    @contextlib.contextmanager
    def traces(self) -> Iterator[TraceStoreClient]:
        """Raises `DeployError` if the trace store is not ready."""
        backend = self.settings.traces.backend
        with self._connect(*endpoints.TRACE_QUERY[backend]) as (url, http):
            yield TraceStoreClient(backend, url, http.get)

    @contextlib.contextmanager
    def loki(self) -> Iterator[LokiClient]:
        """Raises `DeployError` if Loki is not ready, or not part of the stack."""
        if not self.settings.logs.enabled:
            raise DeployError("the stack has no log store: `logs.enabled` is false")
        with self._connect(endpoints.LOKI, endpoints.LOKI_PORT) as (url, http):
            yield LokiClient(url, http.get)

    def journal(self) -> Journal | None:
        return JournalStore(client=self.client, namespace=self.settings.cluster.namespace).read()

    @contextlib.contextmanager
    def _connect(self, name: str, port: int) -> Iterator[tuple[str, httpx.Client]]:
        namespace = self.settings.cluster.namespace
        with forward(self.client, namespace, name, port) as url, httpx.Client() as http:
            yield url, http
