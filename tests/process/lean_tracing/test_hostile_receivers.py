"""Export over HTTP to receivers that answer wrongly, slowly or without end."""

import contextlib
import gc
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from checks.harness.certificates import self_signed
from lean_tracing import TracingSettings, start_tracing
from lean_tracing.export_result import ExportResult
from lean_tracing.otlp_http import OtlpHttpExporter
from tests.support.exporting import account

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
PAYLOAD = b"payload"
Serve = Callable[[socket.socket], None]


class Server:
    """Serves connections one after another with a function, each until it returns or fails."""

    def __init__(self, listening: socket.socket, serve: Serve, tls: ssl.SSLContext | None) -> None:
        self.connections = 0
        self.requests = 0
        self._listening = listening
        self._serve = serve
        self._tls = tls
        scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
        if listening.family == socket.AF_INET6:
            host = "[::1]"
        self.url = f"{scheme}://{host}:{listening.getsockname()[1]}"

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            try:
                if self._tls is not None:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                with connection:
                    self._serve(connection)
            except OSError:
                connection.close()

    def exporter(self, **variables: str) -> OtlpHttpExporter:
        return OtlpHttpExporter(self.settings(**variables), "traces")

    def settings(self, **variables: str) -> TracingSettings:
        common = {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "TRACING_DELAY_MS": "20",
            "TRACING_BREAKER_RESET_MS": "100",
        }
        return TracingSettings.from_env({**common, **variables})


@contextmanager
def serving(
    serve: Serve, *, tls: ssl.SSLContext | None = None, family: socket.AddressFamily = socket.AF_INET
) -> Iterator[Server]:
    """A server on a free port of this machine."""
    address = ("::1" if family == socket.AF_INET6 else "127.0.0.1", 0)
    with socket.create_server(address, family=family) as listening:
        server = Server(listening, serve, tls)
        threading.Thread(target=server.run, daemon=True).start()
        try:
            yield server
        finally:
            listening.shutdown(socket.SHUT_RDWR)  # a thread waits for it


def _read_request(connection: socket.socket) -> bytes:
    """Reads the headers and the body of a request; OSError at the end of the connection."""
    received = b""
    while b"\r\n\r\n" not in received or not received.endswith(PAYLOAD):
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("ended")
        received += part
    return received


def answering(*answers: bytes) -> Serve:
    """Serves a connection with an answer to each request; then it is closed."""

    def serve(connection: socket.socket) -> None:
        for answer in answers:
            _read_request(connection)
            connection.sendall(answer)

    return serve


def _trickling(first: bytes, then: bytes) -> Serve:
    """Answers every request, one byte every 0.1 s without an end."""

    def serve(connection: socket.socket) -> None:
        _read_request(connection)
        connection.sendall(first)
        while True:
            for number in range(len(then)):
                connection.sendall(then[number : number + 1])
                time.sleep(0.1)

    return serve


def _flooding(first: bytes, then: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        _read_request(connection)
        connection.sendall(first)
        while True:
            connection.sendall(then)

    return serve


def _closing(answer: bytes, *, reset: bool = False) -> Serve:
    def serve(connection: socket.socket) -> None:
        _read_request(connection)
        connection.sendall(answer)
        if reset:
            time.sleep(0.2)  # the answer arrives first
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return serve


def _send(exporter: OtlpHttpExporter, seconds: float = 1.0) -> tuple[ExportResult, float]:
    began = time.monotonic()
    result = exporter.send(PAYLOAD, seconds)
    return result, time.monotonic() - began


def _open_sockets() -> int:
    count = 0
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile, as that of the folder itself is
            count += str(path.readlink()).startswith("socket:")
    return count


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("serve", "expected"),
    [
        (_trickling(b"", b"HTTP/1.1 200 OK" + b" " * 1000), "deadline_exceeded"),
        (_trickling(HEAD, b"X: y" + b" " * 1000), "deadline_exceeded"),
        (_trickling(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "deadline_exceeded"),
        (_trickling(b"HTTP/1.1 503 No\r\nContent-Length: 1000\r\n\r\n", b"x"), "unavailable"),
        (_trickling(HEAD + b"Content-Length: 1000\r\n\r\n", b"x"), "ok"),
        (_trickling(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), "ok"),
        (_trickling(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"), "ok"),
    ],
)
def test_bytes_that_trickle_do_not_extend_a_request(serve: Serve, expected: str) -> None:
    with serving(serve) as server:
        result, seconds = _send(server.exporter(), 2.0)
    assert result.code == expected
    assert 1.9 < seconds < 20


@pytest.mark.parametrize(
    ("serve", "expected"),
    [
        (_flooding(HEAD, b"X: y\r\n"), "unavailable"),
        (_flooding(HEAD, b"x" * 65536), "unavailable"),
        (_flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "unavailable"),
        (_flooding(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), "unavailable"),
        (_flooding(HEAD + b"\r\n", b"x" * 65536), "ok"),
        (_flooding(HEAD + b"Content-Length: 100000000\r\n\r\n", b"x" * 65536), "ok"),
        (_flooding(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1000), "ok"),
        (_flooding(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 1000), "ok"),
        # Python reads a size of -1 as: until the end.
        (_flooding(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", b"x" * 65536), "ok"),
        (_flooding(b"HTTP/1.1 400 Bad Request\r\n\r\n", b"x" * 65536), "invalid_argument"),
    ],
)
def test_a_response_without_end_is_not_read_to_its_end(serve: Serve, expected: str) -> None:
    with serving(serve) as server:
        result, seconds = _send(server.exporter(), 30.0)
    assert result.code == expected
    assert result.unreadable == (expected == "ok")
    assert seconds < 20


@pytest.mark.parametrize(
    "serve",
    [
        _closing(HEAD + b"Content-Length: 100\r\n\r\n"),
        _closing(HEAD + b"Content-Length: 100\r\n\r\n\x0a\x02"),
        _closing(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"),
        _closing(HEAD + b"Transfer-Encoding: chunked\r\n\r\nnumber\r\nab"),
        _closing(HEAD + b"Content-Length: 100\r\n\r\n", reset=True),
        _closing(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"),
    ],
)
def test_an_accepted_request_is_not_sent_again_because_of_its_response(serve: Serve) -> None:
    """It would arrive twice."""
    with serving(serve) as server:
        exporter = server.exporter()
        result, _ = _send(exporter, 20.0)
        exporter.close()
    assert (result.code, result.unreadable) == ("ok", True)
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", "unavailable"),
        (b"HTTP/1.1", "unavailable"),
        (b"HTTP/2 200 OK\r\n\r\n", "unavailable"),
        (b"HTTP/1.1 99 Low\r\n\r\n", "unavailable"),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03", "unavailable"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", "unknown"),
        (b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, "ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, "ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "ok"),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 50\r\n\r\n", "invalid_argument"),
    ],
)
def test_odd_answers(answer: bytes, expected: str) -> None:
    with serving(answering(answer)) as server:
        result, _ = _send(server.exporter(), 20.0)
    assert result.code == expected
    assert not result.unreadable


def test_what_follows_a_response_is_not_taken_for_the_next_one() -> None:
    requests: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        requests.append(_read_request(connection))
        connection.sendall(OK)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        connection.recv(1)

    with serving(serve) as server:
        exporter = server.exporter()
        for _ in range(3):
            assert exporter.send(PAYLOAD, 20.0).code == "ok"
            time.sleep(0.1)
        exporter.close()
    assert len(requests) == 3


def test_a_request_that_is_refused_before_it_is_read_is_too_large() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        time.sleep(0.5)

    with serving(serve) as server:
        assert server.exporter().send(b"x" * (32 << 20), 20.0).too_large


def test_a_receiver_that_reads_nothing_does_not_extend_a_request() -> None:
    def serve(connection: socket.socket) -> None:
        while connection.recv(1000):
            time.sleep(0.1)

    with serving(serve) as server:
        result, seconds = _send_large(server.exporter())
    assert result.code == "deadline_exceeded"
    assert seconds < 20


def _send_large(exporter: OtlpHttpExporter) -> tuple[ExportResult, float]:
    began = time.monotonic()
    return exporter.send(b"x" * (32 << 20), 1.0), time.monotonic() - began


def _tls(directory: Path) -> ssl.SSLContext:
    """A server with a new certificate, which is also in the file of authorities."""
    key, certificate = self_signed("localhost")
    (directory / "key.pem").write_bytes(key)
    (directory / "certificate.pem").write_bytes(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "certificate.pem", directory / "key.pem")
    return context


def test_a_handshake_that_trickles_or_hangs_ends_with_the_request_or_the_exporter(tmp_path: Path) -> None:
    def trickle(connection: socket.socket) -> None:
        for byte in b"\x16\x03\x03\x40\x00" + bytes(1000):
            connection.sendall(bytes([byte]))
            time.sleep(0.1)

    _tls(tmp_path)
    with serving(trickle) as server:
        url = server.url.replace("http://127.0.0.1", "https://localhost")
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "certificate.pem"),
        }
        result, seconds = _send(server.exporter(**variables))
        assert result.code == "deadline_exceeded"
        assert seconds < 20
        exporter = server.exporter(**variables)
        threading.Timer(0.5, exporter.close).start()
        result, seconds = _send(exporter, 30.0)
        assert result.code == "cancelled"
        assert seconds < 15


def test_a_certificate_and_its_authority_may_change(tmp_path: Path) -> None:
    first = _tls(tmp_path)
    with serving(answering(OK), tls=first) as server:
        variables = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "certificate.pem")}
        exporter = server.exporter(**variables)
        assert exporter.send(PAYLOAD, 20.0).ok
        server._tls = _tls(tmp_path)
        assert exporter.send(PAYLOAD, 20.0).ok  # over a new connection, with the file as it is now
        (tmp_path / "certificate.pem").write_text("nothing")
        assert exporter.send(PAYLOAD, 20.0).retryable
        (tmp_path / "certificate.pem").unlink()
        assert exporter.send(PAYLOAD, 20.0).retryable
        exporter.close()


def test_addresses_of_version_6_and_variables_of_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    received: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        received.append(_read_request(connection))
        connection.sendall(OK)

    with serving(serve, family=socket.AF_INET6) as server:
        assert server.exporter().send(PAYLOAD, 20.0).ok
    assert b"\r\nhost: [::1]:" in received[0].lower()


def test_sockets_are_closed_in_any_case(tmp_path: Path) -> None:
    gc.collect()
    earlier = _open_sockets()
    gc.disable()  # what only the collection of cycles closes counts as open
    try:
        for answer in (b"", b"junk\r\n", HEAD + b"Content-Length: 9\r\n\r\n", OK, HEAD + b"\r\n"):
            with serving(answering(answer)) as server:
                exporter = server.exporter()
                exporter.send(PAYLOAD, 0.5)
                exporter.close()
        with serving(answering(OK), tls=_tls(tmp_path)) as server:
            exporter = server.exporter()
            assert exporter.send(PAYLOAD, 5.0).code == "unavailable"  # not trusted
        hanging = threading.Event()
        with serving(lambda connection: _wait(connection, hanging)) as server:
            exporter = server.exporter()
            sender = threading.Thread(target=exporter.send, args=(PAYLOAD, 30.0))
            sender.start()
            time.sleep(0.3)
            exporter.close()
            sender.join(20)
            hanging.set()
        deadline = time.monotonic() + 10
        while _open_sockets() > earlier:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        gc.enable()


def _wait(connection: socket.socket, event: threading.Event) -> None:
    _read_request(connection)
    event.wait(20)


def test_a_forked_child_keeps_no_connection_open() -> None:
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        _read_request(connection)
        connection.sendall(OK)
        if not connection.recv(1):
            ended.set()

    with serving(serve) as server:
        exporter = server.exporter()
        assert exporter.send(PAYLOAD, 20.0).ok
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            exporter.forget()
            os.close(write_end)
            os.read(read_end, 1)
            os._exit(0)
        try:
            exporter.close()
            assert ended.wait(10)
        finally:
            os.close(write_end)
            os.close(read_end)
            os.waitpid(child, 0)


def test_every_span_is_counted_with_every_kind_of_receiver() -> None:
    turn = 0
    answers = [b"", OK, b"junk\r\n\r\n", HEAD + b"Content-Length: 9\r\n\r\n", b"HTTP/1.1 503 No\r\n\r\n", OK]

    def serve(connection: socket.socket) -> None:
        nonlocal turn
        connection.recv(65536)
        connection.sendall(answers[turn % len(answers)])
        turn += 1

    with serving(serve) as server:
        tracing = start_tracing(server.settings(OTEL_SERVICE_NAME="under-test"))
        for number in range(20):
            with tracing.traces.span(f"span {number}"):
                pass
            time.sleep(0.03)
        tracing.shutdown(10.0)
        counts = account(tracing)
    lost = sum(counts.dropped.values()) + sum(counts.refused.values())
    assert counts.exported + lost == counts.ended == 20
    assert counts.in_flight == 0
    assert counts.exported == 20


def test_a_reason_begins_no_other_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    answer = b"HTTP/1.1 400 \x1b[31mred\rERROR forged\r\nContent-Length: 0\r\n\r\n"
    with serving(_closing_after_any(answer)) as server:
        tracing = start_tracing(server.settings(OTEL_SERVICE_NAME="under-test"))
        with tracing.traces.span("a span"):
            pass
        tracing.shutdown(10.0)
    lines = [record.getMessage() for record in caplog.records if "forged" in record.getMessage()]
    assert lines
    assert all(line.isprintable() for line in lines)


def _closing_after_any(answer: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return serve


@pytest.mark.parametrize(
    "endpoint", ["http://h/a b", "http://h/ä", "http://h/?x=\u2028y", "http://a..b", f"http://{'x' * 64}.org"]
)
def test_an_endpoint_that_no_request_can_have_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        TracingSettings.from_env({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
