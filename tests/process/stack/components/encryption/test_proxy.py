"""The proxy before a program without TLS: who gets in, and what a renewed certificate or token changes."""

import base64
import hashlib
import itertools
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from types import MappingProxyType
from typing import Final

import grpc
import httpx
import pytest
from fastapi import FastAPI

from checks.harness.ports import free_port
from checks.harness.receiver import Receiver, receiving
from lean_tracing.otlp_exporter import TRACES
from service.common.config import ServiceSettings
from stack.components.encryption.proxy import config
from stack.components.encryption.proxy.config import MONITOR, ProxiedPort
from stack.polling import poll_until
from tests.support.http_server import Request, Response, http_server
from tests.support.proxied import ADDRESS, TOKEN, Proxy, proxy, write_certificate
from tests.support.serving import served

GOOD = {"Authorization": f"Bearer {TOKEN}"}
READY = "/ready"
RENEWED_WITHIN = 40
BAD: Final[tuple[Mapping[str, str], ...]] = (
    {},
    {"Authorization": f"Bearer {TOKEN}x"},
    {"Authorization": f"Basic {TOKEN}"},
    {"Authorization": f"Bearer {TOKEN[:-1]}"},
)


@dataclass
class Proxied:
    """A program that answers HTTP and a receiver of OTLP, behind one proxy."""

    proxy: Proxy
    http: int
    receiver: Receiver
    received: list[Request] = field(default_factory=list)

    def client(self) -> httpx.Client:
        """Returns a client that verifies the proxy as `localhost`."""
        context = ssl.create_default_context(cafile=self.proxy.authority)
        return httpx.Client(base_url=f"https://{ADDRESS}:{self.http}", verify=context, timeout=10)

    def get(self, client: httpx.Client, path: str, headers: Mapping[str, str] = MappingProxyType({})) -> int:
        """Returns the status of a request."""
        extensions = {"sni_hostname": "localhost"}
        return client.get(path, headers=headers, extensions=extensions).status_code

    def channel(self) -> grpc.Channel:
        """Returns a connection for OTLP."""
        credentials = grpc.ssl_channel_credentials(self.proxy.authority.read_bytes())
        options = (("grpc.ssl_target_name_override", "localhost"),)
        return grpc.secure_channel(f"{ADDRESS}:{self.receiver.port}", credentials, options)

    def serial_number(self) -> str:
        """Returns that of the certificate which a new client gets."""
        return _serial_number(f"{ADDRESS}:{self.http}", ssl.create_default_context(cafile=self.proxy.authority))


def _serial_number(address: str, context: ssl.SSLContext) -> str:
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as encrypted,
    ):
        certificate = encrypted.getpeercert()
        assert certificate
        return str(certificate["serialNumber"])


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Proxied]:
    received: list[Request] = []

    def answer(request: Request) -> Response:
        received.append(request)
        return Response("answer")

    with http_server(answer) as url, receiving() as receiver:
        number = int(url.rpartition(":")[2])
        ports = [
            ProxiedPort(number=number, probes=(READY,)),
            ProxiedPort(number=receiver.port, http2=True),
        ]
        with proxy(tmp_path, ports) as process:
            made = Proxied(process, number, receiver, received)
            with made.client() as client:
                poll_until("the program behind the proxy", lambda: made.get(client, MONITOR) == httpx.codes.OK)
            yield made


def test_only_a_client_with_tls_and_the_token_gets_in(proxied: Proxied) -> None:
    with proxied.client() as client:
        for headers in BAD:
            assert proxied.get(client, "/api", headers) == httpx.codes.UNAUTHORIZED
        assert not proxied.received
        assert proxied.get(client, "/api", GOOD) == httpx.codes.OK
        assert "authorization" not in proxied.received[-1].headers, "the program does not get the token"
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://{ADDRESS}:{proxied.http}/api", headers=GOOD)
    context = ssl.create_default_context(cafile=proxied.proxy.authority)
    with (
        socket.create_connection((ADDRESS, proxied.http), timeout=10) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="mismatch"),
    ):
        context.wrap_socket(plain, server_hostname="another")


def test_the_kubelet_needs_no_token_and_gets_nothing_else(proxied: Proxied) -> None:
    with proxied.client() as client:
        assert proxied.get(client, READY) == httpx.codes.OK
        for path in (f"{READY}/", f"{READY}/../api", f"/{READY}", f"{READY}%2f..%2fapi", f"{READY};/api"):
            assert proxied.get(client, path) == httpx.codes.UNAUTHORIZED, path


def test_spans_pass_with_the_token_alone(proxied: Proxied) -> None:
    with proxied.channel() as channel:
        export = channel.unary_unary(TRACES)
        for headers in BAD:
            metadata = tuple((name.lower(), value) for name, value in headers.items())
            with pytest.raises(grpc.RpcError) as refused:
                export(b"", timeout=10, metadata=metadata)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert not proxied.receiver.requests[TRACES]
        export(b"", timeout=10, metadata=(("authorization", f"Bearer {TOKEN}"),))
    assert proxied.receiver.requests[TRACES] == [b""]


def test_the_probe_of_a_connection_follows_the_program(tmp_path: Path) -> None:
    port = free_port()
    with proxy(tmp_path, [ProxiedPort(number=port)]) as process:
        context = ssl.create_default_context(cafile=process.authority)
        with httpx.Client(verify=context) as client:

            def status() -> int:
                url = f"https://{ADDRESS}:{port}{MONITOR}"
                return client.get(url, extensions={"sni_hostname": "localhost"}).status_code

            poll_until("no program", lambda: status() == httpx.codes.SERVICE_UNAVAILABLE, seconds=10)
            with socket.create_server(("127.0.0.1", port)):
                poll_until("a program", lambda: status() == httpx.codes.OK, seconds=10)


def test_certificate_and_token_are_renewed_without_a_lost_request(proxied: Proxied) -> None:
    previous, ended = proxied.serial_number(), threading.Event()
    statuses: list[int] = []
    sent = 0

    def ask() -> None:
        for number in itertools.count():
            if ended.is_set():
                return
            # A new connection for every fifth request.
            with proxied.client() as client:
                statuses.extend(proxied.get(client, f"/{number}/{index}", GOOD) for index in range(5))

    def export() -> None:
        nonlocal sent
        with proxied.channel() as channel:
            call = channel.unary_unary(TRACES)
            while not ended.is_set():
                call(b"", timeout=10, metadata=(("authorization", f"Bearer {TOKEN}"),))
                sent += 1

    failures: list[BaseException] = []

    def until_ended(action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=until_ended, args=(action,)) for action in (ask, export)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(1)
        proxied.proxy.tokens.write_text(f"the-next-token\n{TOKEN}\n")
        write_certificate(proxied.proxy.folder, periods=-1)  # the earlier one is still valid, a later one is not yet
        poll_until(
            "the new certificate",
            lambda: failures or proxied.serial_number() != previous,
            seconds=RENEWED_WITHIN,
            every=0.2,
        )
        time.sleep(3)
    finally:
        ended.set()
        for thread in threads:
            thread.join(timeout=30)
    assert not failures
    assert len(statuses) >= 10
    assert set(statuses) == {httpx.codes.OK}
    assert len(proxied.receiver.requests[TRACES]) == sent >= 10
    with proxied.client() as client:
        assert proxied.get(client, "/", {"Authorization": "Bearer the-next-token"}) == httpx.codes.OK
    assert TOKEN not in proxied.proxy.logged()


@contextmanager
def service(folder: Path, **options: bool) -> Iterator[tuple[str, Proxy, list[Request]]]:
    """Yields the address of a program that knows its callers itself, its proxy, and the requests that it got."""
    received: list[Request] = []

    def answer(request: Request) -> Response:
        received.append(request)
        return Response("answer")

    with http_server(answer) as url:
        number = httpx.URL(url).port
        assert number
        with proxy(folder, [ProxiedPort(number=number, needs_token=False)], **options) as process:
            context = ssl.create_default_context(cafile=process.authority)
            address = f"{ADDRESS}:{number}"
            with httpx.Client(verify=context) as client:
                monitor = f"https://{address}{MONITOR}"
                poll_until("the program", lambda: client.get(monitor).status_code == httpx.codes.OK)
            yield address, process, received


def test_a_program_that_knows_its_callers_gets_their_credentials_and_addresses(tmp_path: Path) -> None:
    with service(tmp_path) as (address, process, received):
        context = ssl.create_default_context(cafile=process.authority)
        with httpx.Client(verify=context) as client:
            client.get(f"https://{address}/", headers={"Authorization": "Bearer a-key", "X-Forwarded-Proto": "http"})
        headers = received[-1].headers
        assert headers["authorization"] == "Bearer a-key"
        assert headers["x-forwarded-proto"] == "https"
        assert headers["x-forwarded-for"] == "127.0.0.1"
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://{address}/")


def test_a_busy_client_of_a_service_opens_another_connection_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CONNECTION_SECONDS", 1)
    settings = ServiceSettings(host="127.0.0.1", port=free_port())
    url = f"https://{ADDRESS}:{settings.port}"
    opened: list[str] = []

    def note(name: str, _: object) -> None:
        if name == "connection.connect_tcp.started":
            opened.append(name)

    with (
        served(FastAPI(), settings),
        proxy(tmp_path, [ProxiedPort(number=settings.port, needs_token=False)]) as process,
        httpx.Client(verify=ssl.create_default_context(cafile=process.authority)) as client,
    ):
        poll_until("the service", lambda: client.get(f"{url}{MONITOR}").status_code == httpx.codes.OK)
        for _ in range(30):
            assert client.get(url, extensions={"trace": note}).status_code == httpx.codes.NOT_FOUND
            time.sleep(0.1)
    assert 1 <= len(opened) < 15, "connections are used again, and not for ever"


class _WebSocket(socketserver.StreamRequestHandler):
    """Answers a request, and sends back what comes after one that asks for a WebSocket."""

    KEY: Final = base64.b64encode(bytes(16))
    ACCEPTED: Final = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    """What answers the key (RFC 6455)."""

    def handle(self) -> None:
        while head := _head(self.rfile):
            if b"upgrade: websocket" not in head:
                self.wfile.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                continue
            headers = (b"Connection: upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Accept: " + self.ACCEPTED)
            self.wfile.write(b"\r\n".join([b"HTTP/1.1 101 Switching Protocols", *headers, b"", b""]))
            self.wfile.write(self.rfile.readline())
            return


def test_a_websocket_may_begin_on_an_old_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "CONNECTION_SECONDS", 3)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _WebSocket) as program:
        program.daemon_threads = True
        threading.Thread(target=program.serve_forever, daemon=True).start()
        port = int(program.server_address[1])
        with proxy(tmp_path, [ProxiedPort(number=port, needs_token=False)]) as process:
            context = ssl.create_default_context(cafile=process.authority)
            with (
                socket.create_connection((ADDRESS, port), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as encrypted,
                encrypted.makefile("rb") as answers,
            ):
                for pause in (1.2, 2.0):
                    encrypted.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    assert b" 204 " in _head(answers)[0]
                    time.sleep(pause)
                encrypted.sendall(
                    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + _WebSocket.KEY + b"\r\n\r\n"
                )
                status, *headers = _head(answers)
                assert b" 101 " in status
                assert b"connection: upgrade" in headers
                encrypted.sendall(b"a message\n")
                assert answers.readline() == b"a message\n"
        program.shutdown()


def _head(stream: BufferedIOBase) -> list[bytes]:
    """Reads the lines of a request or answer up to its body, in lower case; none if the connection has ended."""
    lines: list[bytes] = []
    while line := stream.readline().lower().strip():
        lines.append(line)
    return lines


def test_a_request_that_reaches_no_program_ends_its_connection(tmp_path: Path) -> None:
    port = free_port()
    with proxy(tmp_path, [ProxiedPort(number=port, needs_token=False)]) as process:
        context = ssl.create_default_context(cafile=process.authority)
        with httpx.Client(verify=context) as client, pytest.raises(httpx.RemoteProtocolError):
            client.get(f"https://{ADDRESS}:{port}/")


def test_on_the_way_to_tls_a_port_takes_both(tmp_path: Path) -> None:
    with service(tmp_path, takes_plain=True) as (address, process, received):
        context = ssl.create_default_context(cafile=process.authority)
        with httpx.Client(verify=context) as encrypted, httpx.Client() as plain:
            for number in range(20):
                assert encrypted.get(f"https://{address}/{number}").is_success
                assert plain.get(f"http://{address}/{number}").is_success
            assert len(received) == 40
            # A renewed certificate changes nothing of that.
            previous = _serial_number(address, context)
            write_certificate(process.folder, periods=-1)
            deadline = time.monotonic() + RENEWED_WITHIN
            while _serial_number(address, context) == previous:
                assert time.monotonic() < deadline
                assert encrypted.get(f"https://{address}/").is_success
                assert plain.get(f"http://{address}/").is_success
                time.sleep(0.1)
        # The first byte alone decides, also if the rest comes later.
        with socket.create_connection((ADDRESS, int(address.rpartition(":")[2])), timeout=10) as slow:
            for piece in (b"G", b"ET / HTTP/1.1\r\nHost: x\r\n\r\n"):
                slow.sendall(piece)
                time.sleep(0.2)
            assert slow.recv(100).startswith(b"HTTP/1.")
