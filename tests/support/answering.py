"""An API server whose answers a test defines, and a client of it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import kubernetes


@contextmanager
def answering(content_type: str, answer: Callable[[str], tuple[int, str]]) -> Iterator[kubernetes.client.ApiClient]:
    """Starts the API server.

    Args:
        content_type: Of all answers.
        answer: Path of a GET → status and body.

    Yields:
        A client.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Writes nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        yield kubernetes.client.ApiClient(kubernetes.client.Configuration(host=address))
    finally:
        server.shutdown()
        server.server_close()
