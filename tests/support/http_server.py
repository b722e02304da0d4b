"""An HTTP server whose answers a test defines."""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    """With the query string."""
    headers: Mapping[str, str]
    """With names in lower case."""
    body: bytes


@dataclass(frozen=True)
class Response:
    """What the server answers."""

    body: str | bytes = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def http_server(answer: Callable[[Request], Response], *, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serves GET and POST on a free port of 127.0.0.1, each request in a thread of its own.

    Args:
        answer: What to answer to a request.
        tls: Makes it an HTTPS server for `localhost`.

    Yields:
        Its URL.
    """

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            response = answer(Request(self.command, self.path, headers, body))
            content = response.body.encode() if isinstance(response.body, str) else response.body
            self.send_response(response.status)
            for name, value in {**response.headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Writes nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"https://localhost:{server.server_port}" if tls else f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
