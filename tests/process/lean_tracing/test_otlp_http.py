"""Export over HTTP: the same promises as over gRPC, with a real server and real sockets."""

import gzip
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from checks.harness.certificates import self_signed
from lean_tracing import TracingSettings, start_tracing
from lean_tracing.otlp_exporter import TRACES, OtlpExporter
from lean_tracing.otlp_http import MAX_AGE, OtlpHttpExporter
from tests.support.exporting import account
from tests.support.http_server import Request, Response, http_server


class _Receiver:
    """What a server was sent, and what it answers."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.response = Response()

    def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        return self.response

    def settings(self, **variables: str) -> TracingSettings:
        common = {
            "OTEL_SERVICE_NAME": "under-test",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "TRACING_DELAY_MS": "20",
            "TRACING_BREAKER_RESET_MS": "100",
        }
        return TracingSettings.from_env({**common, **variables})

    def exporter(self, **variables: str) -> OtlpHttpExporter:
        return OtlpHttpExporter(self.settings(**variables), "traces")


@pytest.fixture
def receiver() -> Iterator[_Receiver]:
    receiver = _Receiver()
    with http_server(receiver) as url:
        receiver.url = url
        yield receiver


def _names(request: Request) -> list[str]:
    body = gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
    parts = ExportTraceServiceRequest.FromString(body).resource_spans
    return [span.name for part in parts for scope in part.scope_spans for span in scope.spans]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_spans_and_logs_arrive_with_the_headers(receiver: _Receiver, compression: str) -> None:
    settings = receiver.settings(
        OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20abc",
        OTEL_EXPORTER_OTLP_COMPRESSION=compression,
        OTEL_LOGS_EXPORTER="otlp",
    )
    tracing = start_tracing(settings)
    with tracing.traces.span("over HTTP"):
        pass
    assert tracing.log_handler is not None
    tracing.log_handler.handle(logging.LogRecord("app", logging.INFO, "", 1, "a line", (), None))
    assert tracing.shutdown()
    assert account(tracing).exported == 1
    by_path = {request.path: request for request in receiver.requests}
    assert sorted(by_path) == ["/v1/logs", "/v1/traces"]
    assert _names(by_path["/v1/traces"]) == ["over HTTP"]
    headers = by_path["/v1/traces"].headers
    assert headers["authorization"] == "Bearer abc"
    assert headers["content-type"] == "application/x-protobuf"
    logs = by_path["/v1/logs"].body
    request = ExportLogsServiceRequest.FromString(gzip.decompress(logs) if compression == "gzip" else logs)
    assert request.resource_logs[0].scope_logs[0].log_records[0].body.string_value == "a line"


@pytest.mark.parametrize(
    ("variables", "paths"),
    [
        ({}, ("/v1/traces", "/v1/logs")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:1/base/"}, ("/base/v1/traces", "/base/v1/logs")),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h:1/mine"}, ("/mine", "/v1/logs")),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://h:1"}, ("/v1/traces", "")),
    ],
)
def test_a_signals_own_endpoint_is_used_as_it_is(variables: dict[str, str], paths: tuple[str, str]) -> None:
    settings = TracingSettings.from_env({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", **variables})
    urls = settings.url("traces"), settings.of_logs.url("logs")
    assert tuple(url.split("/", 3)[3] if url.count("/") > 2 else "" for url in urls) == tuple(
        path.removeprefix("/") for path in paths
    )


def test_each_protocol_has_its_default_port() -> None:
    assert TracingSettings.from_env({}).endpoint == "http://localhost:4317"
    over_http = TracingSettings.from_env({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"})
    assert over_http.url("traces") == "http://localhost:4318/v1/traces"
    assert over_http.of_logs.protocol == "grpc"


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, {}, {"ok": True}),
        (202, {}, {"ok": True}),
        (400, {}, {"code": "invalid_argument", "retryable": False}),
        (401, {}, {"code": "unauthenticated", "retryable": False}),
        (404, {}, {"code": "unimplemented", "retryable": False}),
        (413, {}, {"too_large": True, "retryable": False}),
        (429, {}, {"code": "unavailable", "retryable": True, "retry_after": None}),
        (429, {"Retry-After": "7"}, {"retryable": True, "retry_after": 7.0}),
        (503, {"Retry-After": "90000"}, {"retryable": True, "retry_after": 600.0}),
        (503, {"Retry-After": formatdate(time.time() - 60)}, {"retryable": True, "retry_after": 0.0}),
        (503, {"Retry-After": "soon"}, {"retryable": True, "retry_after": None}),
        (500, {"Retry-After": "7"}, {"code": "internal", "retryable": False, "retry_after": None}),
        (302, {"Location": "http://192.0.2.1/"}, {"code": "unknown", "retryable": False}),
    ],
)
def test_statuses_are_what_the_specification_says(
    receiver: _Receiver, status: int, headers: dict[str, str], expected: dict[str, Any]
) -> None:
    receiver.response = Response(status=status, headers=headers)
    result = receiver.exporter().send(b"", 5.0)
    assert {name: getattr(result, name) for name in expected} == expected


def test_a_partial_success_is_counted(receiver: _Receiver) -> None:
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 3
    answer.partial_success.error_message = "too old"
    receiver.response = Response(answer.SerializeToString())
    result = receiver.exporter().send(b"", 5.0)
    assert (result.ok, result.rejected, result.detail) == (True, 3, "too old")
    receiver.response = Response(b"\xff\xff")
    assert receiver.exporter().send(b"", 5.0).unreadable


def test_an_outage_loses_nothing(receiver: _Receiver) -> None:
    receiver.response = Response(status=503)
    tracing = start_tracing(receiver.settings())
    for number in range(3):
        with tracing.traces.span(f"span {number}"):
            pass
        time.sleep(0.05)
    receiver.response = Response()
    assert tracing.shutdown(10.0)
    assert account(tracing).exported == 3


def test_a_certificate_is_checked(receiver: _Receiver, tmp_path: Path) -> None:
    key, certificate = self_signed("localhost")
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "certificate.pem").write_bytes(certificate)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    with http_server(receiver, tls=tls) as url:
        trusted = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "certificate.pem")}
        assert receiver.exporter(OTEL_EXPORTER_OTLP_ENDPOINT=url, **trusted).send(b"", 10.0).ok
        refused = receiver.exporter(OTEL_EXPORTER_OTLP_ENDPOINT=url).send(b"", 10.0)
        assert (refused.code, refused.retryable) == ("unavailable", True)
        assert "certificate" in refused.detail


_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def _requests_of(listening: socket.socket, requests: list[int], *, answers: int) -> None:
    """Serves connections one after another: each is closed after a number of answers."""
    for connection_number in range(2):
        connection, _ = listening.accept()
        with connection:
            for _ in range(answers):
                if not _has_request(connection):
                    break
                requests.append(connection_number)
                connection.sendall(_OK)


def _has_request(connection: socket.socket) -> bool:
    """Reads a request; returns False if the connection ends instead."""
    while received := connection.recv(65536):
        if b"payload" in received:
            return True
    return False


def _connections(answers: int, sent: int, max_age: float = MAX_AGE) -> list[int]:
    """Sends requests to a receiver; returns the number of the connection of each."""
    requests: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        arguments = {"answers": answers}
        server = threading.Thread(target=_requests_of, args=(listening, requests), kwargs=arguments, daemon=True)
        server.start()
        receiver = _Receiver()
        receiver.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        exporter = OtlpHttpExporter(receiver.settings(), "traces", max_age=max_age)
        for _ in range(sent):
            assert exporter.send(b"payload", 20.0).ok
        exporter.close()
        server.join(20)
    return requests


def test_a_connection_is_kept_and_one_that_was_closed_meanwhile_is_opened_again() -> None:
    assert _connections(answers=2, sent=4) == [0, 0, 1, 1]


def test_a_connection_is_replaced_when_it_is_old_so_that_new_receivers_get_spans() -> None:
    assert _connections(answers=2, sent=2, max_age=0.0) == [0, 1]


def test_a_receiver_that_answers_nothing_takes_no_longer_than_the_time_limit_or_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        receiver = _Receiver()
        receiver.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        exporter = receiver.exporter()
        result = exporter.send(b"payload", 0.3)
        assert (result.code, result.retryable) == ("deadline_exceeded", True)
        began = time.monotonic()
        threading.Timer(0.3, exporter.close).start()
        assert exporter.send(b"payload", 60.0).code == "cancelled"
        assert time.monotonic() - began < 30
    assert exporter.send(b"payload", 1.0).code == "cancelled"


@pytest.mark.parametrize(
    ("user", "headers", "sent"),
    [
        ("user:pa%20ss%3A@", "", "Basic dXNlcjpwYSBzczo="),
        ("user@", "", "Basic dXNlcjo="),
        (":größer@", "", "Basic Omdyw7bDn2Vy"),
        ("user:pass@", "Authorization=Bearer%20abc", "Bearer abc"),
        ("", "", None),
    ],
)
def test_a_user_and_a_password_in_the_endpoint_are_sent_as_clients_of_http_do(
    receiver: _Receiver, user: str, headers: str, sent: str | None
) -> None:
    address = receiver.url
    receiver.url = address.replace("http://", f"http://{user}")
    variables = {"OTEL_EXPORTER_OTLP_HEADERS": headers}
    exporter = receiver.exporter(**variables)
    assert exporter.send(b"", 5.0).ok
    (request,) = receiver.requests
    assert request.headers.get("authorization") == sent
    assert request.headers["host"] == address.removeprefix("http://")
    assert exporter.receiver == f"{address}/v1/traces"
    over_grpc = receiver.settings(**variables, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert dict(OtlpExporter(over_grpc, TRACES)._headers).get("authorization") == sent


class _HangingResolver:
    """Stands for a resolver whose servers do not answer; for addresses it needs none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.answers = threading.Event()
        self._resolve = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: str, port: int, **named: Any) -> Any:
        if not named["flags"]:
            self.asked += 1
            assert self.answers.wait(60)
            host = "127.0.0.1"
        return self._resolve(host, port, **named)


@pytest.fixture
def resolver(receiver: _Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[_HangingResolver]:
    receiver.url = receiver.url.replace("127.0.0.1", "collector.example")
    resolver = _HangingResolver(monkeypatch)
    yield resolver
    resolver.answers.set()


def test_a_resolver_that_hangs_takes_no_longer_than_the_time_limit(
    receiver: _Receiver, resolver: _HangingResolver
) -> None:
    exporter = receiver.exporter()
    for _ in range(3):
        assert exporter.send(b"", 0.1).code == "deadline_exceeded"
    assert resolver.asked == 1, "the later requests wait for the first lookup"
    resolver.answers.set()
    assert exporter.send(b"", 60.0).ok
    assert len(receiver.requests) == 1


def test_a_resolver_that_hangs_does_not_delay_the_end(receiver: _Receiver, resolver: _HangingResolver) -> None:
    tracing = start_tracing(receiver.settings(TRACING_TIMEOUT_MS="600000"))
    with tracing.traces.span("waits"):
        pass
    began = time.monotonic()
    assert not tracing.flush(0.2)
    assert not tracing.shutdown(0.2)
    assert time.monotonic() - began < 10
    assert dict(account(tracing).dropped) == {"shutdown": 1}
    assert account(tracing).unaccounted == 0


def test_a_name_is_looked_up_without_threads_as_well(
    receiver: _Receiver, resolver: _HangingResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    resolver.answers.set()
    exporter = receiver.exporter()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        lookup = exporter._lookup.addresses(5.0)
    assert lookup
    assert exporter.send(b"", 60.0).ok


def test_a_name_without_an_address_is_an_outage() -> None:
    receiver = _Receiver()
    receiver.url = "http://no-such-host.invalid:4318"
    assert receiver.exporter().send(b"", 30.0).code == "unavailable"


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    receiver = _Receiver()
    receiver.url = f"http://user:secret@127.0.0.1:{port}/?token=secret"
    exporter = receiver.exporter()
    assert exporter.send(b"", 5.0).code == "unavailable"
    assert exporter.receiver == f"http://127.0.0.1:{port}/"
