"""An HTTPS server that stands for a store which the stack did not build, and records the headers of its clients."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.certificates import self_signed


@dataclass
class TlsStore:
    """The server; it answers each GET with an empty result."""

    url: str
    ca: str
    """PEM of its certificate."""
    headers: list[Mapping[str, str]] = field(default_factory=list)
    """Of each request, with names in lower case."""
    bodies: list[bytes] = field(default_factory=list)
    """Of each POST."""


@contextmanager
def tls_store(folder: Path) -> Iterator[TlsStore]:
    """Runs the server; its key is written into a folder."""
    key, certificate = self_signed("localhost")
    (folder / "key.pem").write_bytes(key)
    (folder / "certificate.pem").write_bytes(certificate)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b'{"traces": []}')

        def do_POST(self) -> None:
            store.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            store.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Writes nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    store = TlsStore(url=f"https://localhost:{server.server_port}", ca=certificate.decode())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
