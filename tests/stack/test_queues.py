"""How much waits in a Collector's queues, as its own metrics say it through the API server."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import kubernetes
import pytest

from stack.queues import waiting

METRICS = """\
# TYPE otelcol_exporter_queue_size gauge
otelcol_exporter_queue_size{data_type="traces",exporter="otlp_grpc"} 1200
otelcol_exporter_queue_size{data_type="logs",exporter="otlp_http"} 34
otelcol_exporter_queue_capacity{data_type="traces",exporter="otlp_grpc"} 500000
"""


class Handler(BaseHTTPRequestHandler):
    """An API server whose proxy reaches the pod collector-1 alone; collector-2 has no queue."""

    def do_GET(self) -> None:
        proxied = self.path.startswith("/api/v1/namespaces/tracing/pods/") and self.path.endswith("/proxy/metrics")
        body = METRICS if "collector-1:8888" in unquote(self.path) else "up 1\n"
        self.send_response(200 if proxied and "collector-3" not in self.path else 503)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def client() -> Iterator[kubernetes.client.ApiClient]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    yield kubernetes.client.ApiClient(kubernetes.client.Configuration(host=address))
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("pod", "count"), [("collector-1", 1234), ("collector-2", None), ("collector-3", None)])
def test_what_waits_in_all_queues_of_a_pod_is_counted(
    client: kubernetes.client.ApiClient, pod: str, count: int | None
) -> None:
    assert waiting(client, "tracing", pod) == count
