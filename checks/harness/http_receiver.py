"""A server that takes what is posted to it, such as OTLP or notifications, and answers each request at once."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def serve_http(take: Callable[[bytes], bytes], content_type: str = "application/x-protobuf") -> ThreadingHTTPServer:
    """Start a server on 127.0.0.1.

    Args:
        take: gets the body of each request, and returns the body of the answer.
        content_type: of the answers.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept

        def do_POST(self) -> None:
            answer = take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
