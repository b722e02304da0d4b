"""Serves metrics and the health of a process."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from contracts import http


def serve(
    host: str,
    port: int,
    registry: CollectorRegistry,
    is_alive: Callable[[], bool],
    is_ready: Callable[[], bool] | None = None,
) -> ThreadingHTTPServer:
    """Starts to serve in a thread.

    Args:
        host: address to listen on; empty for all.
        port: 0 takes a free one.
        registry: of the metrics.
        is_alive: False when only a restart can help the process.
        is_ready: whether the process does its work; by default whether it is alive.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # a client that sends nothing keeps no thread

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case http.METRICS:
                    encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                    self._answer(200, content_type, encode(registry))
                case http.LIVE:
                    self._answer(200 if is_alive() else 503, "text/plain", b"")
                case http.READY:
                    self._answer(200 if (is_ready or is_alive)() else 503, "text/plain", b"")
                case _:
                    self._answer(404, "text/plain", b"")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log no scrapes."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="server", daemon=True).start()
    return server
