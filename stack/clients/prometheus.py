"""Questions to the Prometheus of a stack, wherever its cluster is."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import kubernetes

from contracts import endpoints
from stack.kubernetes.port_forward import forward

Ask = Callable[[str, float], Sequence[Any]]
"""PromQL and the time that it is asked for → the result's items; raises httpx.HTTPError."""


@contextmanager
def asking(client: kubernetes.client.ApiClient, namespace: str, *, seconds: float = 30) -> Iterator[Ask]:
    """Takes questions while the context is open.

    Args:
        client: from `stack.kubernetes.apply.connect`.
        namespace: the stack's.
        seconds: that an answer may take.

    Raises:
        DeployError: Prometheus is not ready.
    """
    with (
        forward(client, namespace, endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT) as url,
        httpx.Client(base_url=url, timeout=seconds) as prometheus,
    ):

        def ask(query: str, at: float) -> Sequence[Any]:
            answer = prometheus.get("/api/v1/query", params={"query": query, "time": f"{at:.3f}"})
            found: Sequence[Any] = answer.raise_for_status().json()["data"]["result"]
            return found

        yield ask
