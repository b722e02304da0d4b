"""A running stack switches to encrypted telemetry: who reaches a Collector and a proxied program at each step."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import grpc
import httpx
import pytest

from checks.chaos.requests import Requests
from checks.harness.collector import TOKEN, CollectorProcess, MissingProgram
from checks.harness.ports import free_port
from checks.harness.receiver import Receiver, receiving
from collector.pipeline import CERTIFICATE_DIRECTORY, OtlpTarget, Pipeline, render
from contracts import endpoints
from lean_tracing import TracingSettings
from lean_tracing.otlp_exporter import TRACES, OtlpExporter
from lean_tracing.otlp_http import OtlpHttpExporter
from stack.components.encryption.proxy.config import ProxiedPort, proxy_config, second
from stack.components.encryption.settings import STEPS, EncryptionStep, EncryptionValue
from stack.polling import poll_until
from tests.support.http_server import Response, http_server
from tests.support.programs import skipping
from tests.support.proxied import ADDRESS, Proxy, proxy, write_certificate
from tests.support.proxied import TOKEN as TELEMETRY_TOKEN

REQUESTS = Requests("switch")
OTLP = (endpoints.OTLP_GRPC_PORT, endpoints.OTLP_HTTP_PORT)
BOTH = STEPS["accepted"]


@dataclass(frozen=True)
class CollectorPod:
    """Where the Collector of a step takes OTLP."""

    ports: Mapping[int, int]
    """Port in the cluster → port on this machine."""
    authority: Path

    def send(self, number: int, protocol: str, *, encrypted: bool) -> str:
        """Returns how the export of a request ended."""
        scheme = "https" if encrypted else "http"
        port = endpoints.OTLP_GRPC_PORT if protocol == "grpc" else endpoints.OTLP_HTTP_PORT
        settings = TracingSettings.from_env(
            {
                "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"{scheme}://{ADDRESS}:{self.ports[port]}",
                "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{TOKEN}",
                **({"OTEL_EXPORTER_OTLP_CERTIFICATE": str(self.authority)} if encrypted else {}),
            }
        )
        client = OtlpExporter(settings, TRACES) if protocol == "grpc" else OtlpHttpExporter(settings, "traces")
        try:
            return client.send(REQUESTS.encode(number), 10).code
        finally:
            client.close()


@contextmanager
def collector_pod(folder: Path, step: EncryptionStep, store: Receiver) -> Iterator[CollectorPod]:
    """Runs a Collector, and its proxy if it has one, with the configurations of a step."""
    write_certificate(folder, periods=0)
    ports = {port: free_port() for port in OTLP}
    pipeline = Pipeline(
        trace_store=OtlpTarget(f"127.0.0.1:{store.port}"),
        metric_stores=[OtlpTarget("http://127.0.0.1:9", "http")],
        queue_size=100_000,
        encrypted=step.takes_tls,
        takes_plain=step.takes_tls and step.takes_plain,
    )
    text = render(pipeline).replace(CERTIFICATE_DIRECTORY, str(folder))
    configuration = proxy_config([], own_tls=OTLP, takes_plain=True)
    for port, free in ports.items():
        text = text.replace(f"0.0.0.0:{port}", f"{ADDRESS}:{free}")
        configuration = configuration.replace(f'}}:{port}"', f'}}:{free}"')
        for local in (port, second(port)):
            behind = free_port()
            text = text.replace(f"127.0.0.1:{local}", f"127.0.0.1:{behind}")
            configuration = configuration.replace(f"127.0.0.1:{local}", f"127.0.0.1:{behind}")
    with skipping("otelcol-contrib", MissingProgram):
        collector = CollectorProcess(folder / "collector", text)
    with ExitStack() as stack:
        stack.callback(collector.kill)
        collector.start()
        if pipeline.takes_plain:
            (folder / "proxy").mkdir()
            process = Proxy(folder / "proxy", configuration, ports[endpoints.OTLP_GRPC_PORT])
            stack.callback(process.stop)
            process.start()
        yield CollectorPod(ports, folder / "ca.crt")


@pytest.mark.parametrize("value", STEPS, ids=str)
def test_a_collector_takes_the_connections_of_its_step(tmp_path: Path, value: EncryptionValue) -> None:
    step = STEPS[value]
    with receiving() as store, collector_pod(tmp_path, step, store) as pod:
        attempts = list(enumerate(product(("grpc", "http/protobuf"), (False, True))))
        taken = {
            number: pod.send(number, protocol, encrypted=encrypted) == "ok"
            for number, (protocol, encrypted) in attempts
        }
        assert taken == {
            number: step.takes_tls if encrypted else step.takes_plain for number, (_, encrypted) in attempts
        }
        accepted = [REQUESTS.traces(number) for number, is_taken in taken.items() if is_taken]
        expected = {span for traces in accepted for ids in traces.values() for span in ids}
        poll_until(
            "the spans in the store", lambda: {span.span_id.hex() for span in store.spans()} == expected, seconds=30
        )


def test_a_proxied_program_takes_both_kinds_of_connections(tmp_path: Path) -> None:
    with http_server(lambda _: Response("answer")) as url, receiving() as receiver:
        http = int(url.rpartition(":")[2])
        ports = [ProxiedPort(number=http, probes=("/ready",)), ProxiedPort(number=receiver.port, http2=True)]
        with proxy(tmp_path, ports, takes_plain=BOTH.takes_plain) as process:
            verified = httpx.Client(verify=ssl.create_default_context(cafile=process.authority))
            good = {"Authorization": f"Bearer {TELEMETRY_TOKEN}"}

            def status(scheme: str, path: str, headers: dict[str, str]) -> int:
                address = f"{scheme}://{ADDRESS}:{http}{path}"
                return verified.get(address, headers=headers, extensions={"sni_hostname": "localhost"}).status_code

            poll_until("the program behind the proxy", lambda: status("https", "/", good) == httpx.codes.OK)
            assert status("http", "/", {}) == httpx.codes.OK
            assert status("https", "/ready", {}) == httpx.codes.OK
            assert status("https", "/", {}) == httpx.codes.UNAUTHORIZED
            credentials = grpc.ssl_channel_credentials(process.authority.read_bytes())
            options = (("grpc.ssl_target_name_override", "localhost"),)
            address = f"{ADDRESS}:{receiver.port}"
            with grpc.insecure_channel(address) as plain, grpc.secure_channel(address, credentials, options) as secure:
                plain.unary_unary(TRACES)(b"", timeout=10)
                secure.unary_unary(TRACES)(b"", timeout=10, metadata=(("authorization", good["Authorization"]),))
                with pytest.raises(grpc.RpcError):
                    secure.unary_unary(TRACES)(b"", timeout=10)
        assert receiver.requests[TRACES] == [b"", b""]
        verified.close()
