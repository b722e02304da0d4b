"""An HTTP proxy that leads the host names of a cloud to servers of this machine: clients keep their own addresses."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

_CHUNK_BYTES: Final = 2**16
_SECONDS: Final = 60.0


@contextmanager
def connect_proxy(ports: Mapping[str, int]) -> Iterator[dict[str, str]]:
    """Run the proxy, which refuses other hosts.

    Args:
        ports: host name → port of 127.0.0.1.

    Yields:
        The variables with which a program uses it for https.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            host = self.path.rpartition(":")[0]
            if host not in ports:
                self.send_error(403, f"{host} is no host of this test")
                return
            with socket.create_connection(("127.0.0.1", ports[host]), timeout=_SECONDS) as server:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_copy, args=(server, self.connection), daemon=True)
                back.start()
                _copy(self.connection, server)
                back.join(_SECONDS)

        def log_message(self, format: str, *args: object) -> None:
            """Writes nothing."""

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.server_port}"}
    finally:
        proxy.shutdown()
        proxy.server_close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
