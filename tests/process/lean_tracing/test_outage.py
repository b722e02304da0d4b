"""An outage of the receiver is logged with one line at its start and one at its end, also if it has many failures."""

import contextlib
import logging
import socket
import struct
import threading

import grpc
import pytest

from checks.harness.certificates import self_signed
from checks.harness.receiver import Receiver, accept, refuse
from lean_tracing.export_result import ExportResult
from lean_tracing.outage import OutageLog
from stack.polling import poll_until
from tests.support.exporting import Start, account, make, numbers


def _lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [
        (record.levelno, record.getMessage()) for record in caplog.records if record.name.startswith("lean_tracing.")
    ]


def test_an_unreachable_receiver_is_logged_once_and_its_return_once(
    receiver: Receiver, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    receiver.stop()
    tracing = start()
    make(tracing, range(5))
    poll_until("many failures", lambda: account(tracing).requests["unavailable"] >= 6)
    receiver.start()
    assert tracing.flush(60)
    (level, begin), (quiet, end) = _lines(caplog)
    assert (level, quiet) == (logging.WARNING, logging.INFO)
    for part in (receiver.endpoint, "unavailable", "Connection refused", "5 spans wait", "room for about"):
        assert part in begin
    for part in (receiver.endpoint, "again after", "5 sent late, 0 lost"):
        assert part in end


def test_a_wrong_token_is_logged_once_with_the_number_of_lost_spans(
    receiver: Receiver, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    receiver.behave = refuse(grpc.StatusCode.UNAUTHENTICATED)
    tracing = start()
    for number in range(20):
        make(tracing, range(number, number + 1))
        assert tracing.flush(60)
    receiver.behave = accept
    make(tracing, range(20, 21))
    assert tracing.flush(60)
    (_, begin), (_, end) = _lines(caplog)
    assert "refused" in begin
    assert "unauthenticated" in begin
    assert "0 sent late, 20 lost" in end
    assert dict(account(tracing).refused) == {"unauthenticated": 20}
    assert numbers(receiver) == [20]


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [("http://no-such-name.invalid:4317", "no-such-name.invalid"), ("https://localhost:{port}", "CERTIFICATE_VERIFY")],
)
def test_the_reason_is_in_the_line(start: Start, caplog: pytest.LogCaptureFixture, endpoint: str, reason: str) -> None:
    other = Receiver()
    key, certificate = self_signed("localhost")
    other.start(grpc.ssl_server_credentials([(key, certificate)]))
    tracing = start(other, endpoint=endpoint.format(port=other.port))
    make(tracing, range(1))
    poll_until("a line", lambda: _lines(caplog))
    assert reason in _lines(caplog)[0][1]
    assert "unavailable" in _lines(caplog)[0][1]
    other.stop()


def test_a_receiver_that_accepts_connections_and_never_answers_is_an_outage_after_seconds(
    start: Start, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracing = start(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_ms=30_000)
        make(tracing, range(1))
        poll_until("a line", lambda: _lines(caplog), seconds=9)


def _answer_404(connection: socket.socket) -> None:
    """A proxy without a route, over HTTP/2: each request gets the status 404 and no message of gRPC."""
    settings, acknowledged, headers = 4, 1, 1
    with connection, connection.makefile("rb") as received:
        received.read(len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
        connection.sendall(struct.pack(">xHBBI", 0, settings, 0, 0))
        while frame := received.read(9):
            size, kind, flags, stream = struct.unpack(">xHBBI", frame)
            received.read(size)
            if kind == settings and not flags & acknowledged:
                connection.sendall(struct.pack(">xHBBI", 0, settings, acknowledged, 0))
            elif kind == headers:
                ended = 0x1 | 0x4  # the stream, and its headers
                not_found = b"\x8d"  # `:status 404` in HPACK's table
                connection.sendall(struct.pack(">xHBBI", 1, headers, ended, stream) + not_found)


def _pass_on(connection: socket.socket, port: int) -> None:
    with connection, socket.create_connection(("127.0.0.1", port)) as onward:
        back = threading.Thread(target=_copy, args=(onward, connection), daemon=True)
        back.start()
        _copy(connection, onward)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)


def test_a_connection_that_leads_to_something_else_is_made_again(receiver: Receiver, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def serve() -> None:
            with contextlib.suppress(OSError):
                first, _ = proxy.accept()
                threading.Thread(target=_answer_404, args=(first,), daemon=True).start()
                while True:
                    connection, _ = proxy.accept()
                    threading.Thread(target=_pass_on, args=(connection, receiver.port), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        tracing = start(endpoint=f"http://127.0.0.1:{proxy.getsockname()[1]}")
        make(tracing, range(5))
        assert tracing.flush(60)
        assert account(tracing).requests["unimplemented"] >= 1
        assert (account(tracing).exported, account(tracing).lost) == (5, 0)
        assert numbers(receiver) == list(range(5))


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_thousand_short_outages_are_few_lines() -> None:
    lines: list[tuple[int, str]] = []
    clock = _Clock()
    log = OutageLog("spans", "http://r:4317", lambda level, text: lines.append((level, text)), lambda: 0, clock)
    for _ in range(1000):
        log.failed(ExportResult(code="unavailable"))
        log.report(3, "")
        clock.now += 0.1
        log.accepted()
        log.report(0, "")
    assert len(lines) < 20
    clock.now += 600
    log.failed(ExportResult(code="unavailable"))
    log.report(3, "")
    assert "short outages before this one were not logged" in lines[-1][1]


def test_an_outage_that_begins_to_lose_spans_is_logged() -> None:
    lines: list[str] = []
    log = OutageLog("spans", "http://r:4317", lambda _, text: lines.append(text), lambda: 0, _Clock())
    for code in ("unavailable", "unauthenticated", "unavailable", "unauthenticated"):
        log.failed(ExportResult(code=code))
        log.report(3, "")
    assert len(lines) == 2
    assert "refused" in lines[1]
