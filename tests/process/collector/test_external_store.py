"""A real Collector sends to a trace store that the stack did not build: with TLS, headers and a secret."""

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from checks.harness.certificates import self_signed
from checks.harness.collector import CollectorProcess
from checks.harness.receiver import Receiver, spans_of
from collector.pipeline import OtlpTarget, Pipeline, render
from stack.components.shared.external_store import ExternalStore
from stack.components.shared.store import external_addresses
from stack.components.trace_store.settings import CREDENTIALS
from stack.polling import poll_until
from tests.support.tls_store import tls_store

AUTHORIZATION = "Basic dGVuYW50OnBhc3N3b3Jk"
HEADERS = {"X-Scope-OrgID": "tracing"}


def spans(*names: str) -> bytes:
    """An export request with a span of each name."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number, name in enumerate(names, 1):
        scope.spans.add(name=name, trace_id=bytes(15) + b"\x01", span_id=number.to_bytes(8))
    return bytes(request.SerializeToString())


@dataclass
class Arrived:
    """What arrived at a store."""

    url: str
    ca: str
    spans: Callable[[], list[str]]
    """Names of the spans."""
    headers: Sequence[Mapping[str, str]]
    """Of each request."""


@contextmanager
def over_grpc(_: Path) -> Iterator[Arrived]:
    key, certificate = self_signed("localhost")
    receiver = Receiver()
    receiver.start(grpc.ssl_server_credentials([(key, certificate)]))
    yield Arrived(
        url=f"https://localhost:{receiver.port}",
        ca=certificate.decode(),
        spans=lambda: [span.name for span in receiver.spans()],
        headers=receiver.metadata,
    )
    receiver.stop()


@contextmanager
def over_http(folder: Path) -> Iterator[Arrived]:
    with tls_store(folder) as store:
        yield Arrived(
            url=f"{store.url}/otlp",
            ca=store.ca,
            spans=lambda: [span.name for body in store.bodies for span in spans_of(gzip.decompress(body))],
            headers=store.headers,
        )


@pytest.mark.parametrize(("protocol", "listen"), [("grpc", over_grpc), ("http", over_http)], ids=["grpc", "http"])
def test_spans_arrive_with_the_headers_and_the_secret(
    protocol: Literal["grpc", "http"], listen: Callable[[Path], AbstractContextManager[Arrived]], tmp_path: Path
) -> None:
    with listen(tmp_path) as store:
        settings = ExternalStore(
            otlp_url=store.url,
            protocol=protocol,
            query_url="https://localhost",
            ca=store.ca,
            headers=HEADERS,
            authorize=True,
        )
        addresses = external_addresses(settings, CREDENTIALS)
        assert isinstance(addresses.otlp, OtlpTarget)
        text = render(
            Pipeline(
                trace_store=addresses.otlp, metric_stores=[OtlpTarget("http://127.0.0.1:9", "http")], queue_size=10_000
            )
        )
        collector = CollectorProcess(tmp_path / "collector", text, {"TRACES_AUTHORIZATION": AUTHORIZATION})
        try:
            collector.start()
            collector.send(spans("one", "two"))
            poll_until("the spans in the store", lambda: sorted(store.spans()) == ["one", "two"])
        finally:
            collector.kill()
        assert store.headers
        for headers in store.headers:
            assert headers["authorization"] == AUTHORIZATION
            assert headers["x-scope-orgid"] == "tracing"
