"""How much waits in a Collector's queues, as its own metrics say it through the API server."""

from collections.abc import Iterator
from urllib.parse import unquote

import kubernetes
import pytest

from stack.deploy.queues import queue_size
from tests.support.answering import answering

METRICS = """\
# TYPE otelcol_exporter_queue_size gauge
otelcol_exporter_queue_size{data_type="traces",exporter="otlp_grpc"} 1200
otelcol_exporter_queue_size{data_type="logs",exporter="otlp_http"} 34
otelcol_exporter_queue_capacity{data_type="traces",exporter="otlp_grpc"} 500000
"""


def answer(path: str) -> tuple[int, str]:
    """Of an API server whose proxy reaches the pods but collector-3; collector-2 has no queue."""
    proxied = path.startswith("/api/v1/namespaces/tracing/pods/") and path.endswith("/proxy/metrics")
    body = METRICS if "collector-1:8888" in unquote(path) else "up 1\n"
    return (200 if proxied and "collector-3" not in path else 503), body


@pytest.fixture(scope="module")
def client() -> Iterator[kubernetes.client.ApiClient]:
    with answering("text/plain", answer) as client:
        yield client


@pytest.mark.parametrize(("pod", "count"), [("collector-1", 1234), ("collector-2", None), ("collector-3", None)])
def test_what_waits_in_all_queues_of_a_pod_is_counted(
    client: kubernetes.client.ApiClient, pod: str, count: int | None
) -> None:
    assert queue_size(client, "tracing", pod) == count
