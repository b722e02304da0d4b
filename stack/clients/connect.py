"""Connects to a store of a stack through the API server."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import kubernetes

from contracts import endpoints
from stack.clients.prometheus import PrometheusClient
from stack.kubernetes.port_forward import forward


@contextmanager
def connect_prometheus(
    client: kubernetes.client.ApiClient, namespace: str, *, seconds: float = 30
) -> Iterator[PrometheusClient]:
    """Connects to the Prometheus of a stack while the context is open.

    Args:
        client: from `stack.kubernetes.client.connect`.
        namespace: the namespace of the stack.
        seconds: the time that an answer may take.

    Raises:
        DeployError: Prometheus is not ready.
    """
    with (
        forward(client, namespace, endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT) as url,
        httpx.Client() as connections,
    ):
        yield PrometheusClient(url, connections.get, seconds)
