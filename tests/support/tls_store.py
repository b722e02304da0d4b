"""An HTTPS server that stands for a store which the stack did not build, and records the headers of its clients."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from checks.harness.certificates import self_signed
from tests.support.http_server import Request, Response, http_server


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
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    store = TlsStore(url="", ca=certificate.decode())

    def answer(request: Request) -> Response:
        store.headers.append(request.headers)
        if request.method == "POST":
            store.bodies.append(request.body)
        return Response("" if request.method == "POST" else '{"traces": []}', 200, {"Content-Type": "application/json"})

    with http_server(answer, tls=context) as url:
        store.url = url
        yield store
