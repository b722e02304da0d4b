"""The real Collector with TLS at its receivers: who gets in, and what a renewed certificate changes."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc
import httpx
import pytest

from checks.chaos.requests import A_REQUEST, Requests
from checks.harness.collector import TOKEN, CollectorProcess, MissingProgram
from checks.harness.receiver import Receiver, receiving
from collector.pipeline import CERTIFICATE_DIRECTORY, OtlpTarget, Pipeline, render
from lean_tracing import TracingSettings
from lean_tracing.otlp_exporter import TRACES, OtlpExporter
from stack.polling import poll_until
from tests.support.programs import skipping
from tests.support.proxied import write_certificate

REQUESTS: Final = Requests("collector")
RENEWED_WITHIN: Final = 40


class Encrypted:
    """A Collector with TLS, before a store whose contents a test reads."""

    def __init__(self, folder: Path, store: Receiver) -> None:
        self.folder = folder
        self.store = store
        write_certificate(folder, periods=0)
        pipeline = Pipeline(
            trace_store=OtlpTarget(f"127.0.0.1:{store.port}"),
            metric_stores=[OtlpTarget("http://127.0.0.1:9", "http")],
            queue_size=100_000,
            encrypted=True,
        )
        text = render(pipeline).replace(CERTIFICATE_DIRECTORY, str(folder))
        with skipping("otelcol-contrib", MissingProgram):
            self.process = CollectorProcess(folder / "collector", text)

    @property
    def port(self) -> int:
        """Of OTLP over gRPC."""
        return int(self.process.grpc.rpartition(":")[2])

    def exporter(self, token: str = TOKEN, scheme: str = "https") -> OtlpExporter:
        """Returns the exporter of a service."""
        ca = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(self.folder / "ca.crt")} if scheme == "https" else {}
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{scheme}://localhost:{self.port}",
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{token}",
            **ca,
        }
        return OtlpExporter(TracingSettings.from_env(environment), TRACES)

    def serial_number(self) -> str:
        """Returns that of the certificate which a new client gets."""
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as encrypted,
        ):
            certificate = encrypted.getpeercert()
            assert certificate
            return str(certificate["serialNumber"])


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Encrypted]:
    with receiving() as store:
        made = Encrypted(tmp_path, store)
        try:
            made.process.start()
            yield made
        finally:
            made.process.kill()


def test_a_client_without_tls_or_the_token_is_refused(collector: Encrypted) -> None:
    payload = REQUESTS.encode(1)
    for client in (collector.exporter(scheme="http"), collector.exporter(token="another")):
        result = client.send(payload, 10)
        client.close()
        assert result.code in ("unavailable", "unauthenticated"), result
    http = collector.process.http
    with pytest.raises(httpx.HTTPError):
        httpx.post(f"{http}/v1/traces", content=payload).raise_for_status()
    with (
        grpc.secure_channel(f"localhost:{collector.port}", grpc.ssl_channel_credentials()) as channel,
        pytest.raises(grpc.RpcError),  # no public authority has signed the certificate
    ):
        channel.unary_unary(TRACES)(payload, timeout=5)
    client = collector.exporter()
    assert client.send(payload, 10).code == "ok"
    client.close()
    poll_until("the spans in the store", lambda: len(collector.store.spans()) == A_REQUEST)


def test_a_renewed_certificate_is_used_without_a_restart_or_a_lost_span(collector: Encrypted) -> None:
    previous, ended = collector.serial_number(), threading.Event()
    codes: list[str] = []

    def export() -> None:
        number = 0
        while not ended.is_set():
            client = collector.exporter()  # a new connection for every fifth request
            for _ in range(5):
                number += 1
                codes.append(client.send(REQUESTS.encode(number), 10).code)
            client.close()

    thread = threading.Thread(target=export)
    thread.start()
    pid = collector.process.pid
    try:
        write_certificate(collector.folder, periods=-1)  # the earlier one is still valid, a later one is not yet
        poll_until(
            "the new certificate",
            lambda: collector.serial_number() != previous,
            seconds=RENEWED_WITHIN,
            every=0.5,
        )
    finally:
        ended.set()
        thread.join(timeout=60)
    assert collector.process.pid == pid
    assert len(codes) >= 10
    assert set(codes) == {"ok"}
    sent = {span for number in range(1, len(codes) + 1) for ids in REQUESTS.traces(number).values() for span in ids}
    poll_until(
        "each span in the store",
        lambda: {span.span_id.hex() for span in collector.store.spans()} == sent,
        seconds=60,
    )
