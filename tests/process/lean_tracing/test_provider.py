"""The instrumentations of other libraries make this library's spans through its provider."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import NoOpTracerProvider
from starlette.testclient import TestClient

from checks.harness.receiver import Receiver
from lean_tracing import TracingSettings, start_tracing
from lean_tracing.otlp_exporter import TRACES
from lean_tracing.span import RecordedSpan
from lean_tracing.start import SCHEMA_URL
from lean_tracing.testing import Recorder
from lean_tracing.version import VERSION
from tests.support.exporting import Start


@pytest.fixture
def own() -> Iterator[Recorder]:
    """A recorder without the spans of other tests."""
    with Recorder() as recorder:
        yield recorder


def test_a_stock_instrumentation_makes_spans_of_this_library(own: Recorder) -> None:
    api = FastAPI()

    @api.get("/orders")
    def orders() -> int:
        with own.traces.span("price order"):
            return 7

    FastAPIInstrumentor.instrument_app(api, tracer_provider=own.tracing.provider)
    assert TestClient(api).get("/orders", headers={"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}).json() == 7
    own.assert_tree("""
        SERVER GET /orders
          INTERNAL price order
          INTERNAL GET /orders http send
          INTERNAL GET /orders http send
    """)
    server = own.one("GET /orders")
    assert server.parent is not None
    assert (server.parent.trace_id, server.parent.span_id) == (int("1" * 32, 16), int("2" * 16, 16))
    assert server.context.trace_id == own.one("price order").context.trace_id == server.parent.trace_id
    assert server.instrumentation_scope is not None
    assert server.instrumentation_scope.name == "opentelemetry.instrumentation.fastapi"


def test_a_tracer_of_the_provider_makes_no_spans_in_a_suppressed_block(own: Recorder) -> None:
    tracer = own.tracing.provider.get_tracer("other", "1.2")
    with own.traces.suppressed(), tracer.start_as_current_span("probe") as probe:
        assert not probe.is_recording()
    with tracer.start_as_current_span("work") as work:
        assert isinstance(work, RecordedSpan)
    assert [span.name for span in own.spans()] == ["work"]
    assert own.tracing.provider.force_flush()  # type: ignore[attr-defined]


def test_the_exported_spans_name_their_scopes_schemas_and_this_library(receiver: Receiver, start: Start) -> None:
    tracing = start()
    other = tracing.provider.get_tracer("other", "1.2", "https://example.com/schemas/1", {"kind": "test"})
    with tracing.traces.span("own"), other.start_as_current_span("other"):
        pass
    assert tracing.flush()
    (part,) = ExportTraceServiceRequest.FromString(receiver.requests[TRACES][0]).resource_spans
    resource = {item.key: item.value.string_value for item in part.resource.attributes}
    assert part.schema_url == SCHEMA_URL
    assert resource["telemetry.sdk.name"] == "lean_tracing"
    assert resource["telemetry.distro.name"] == "lean-tracing"
    assert resource["telemetry.sdk.version"] == resource["telemetry.distro.version"] == VERSION
    scopes = {scope.scope.name: scope for scope in part.scope_spans}
    assert {name: (scope.scope.version, scope.schema_url) for name, scope in scopes.items()} == {
        "lean_tracing": (VERSION, SCHEMA_URL),
        "other": ("1.2", "https://example.com/schemas/1"),
    }
    assert [(item.key, item.value.string_value) for item in scopes["other"].scope.attributes] == [("kind", "test")]


_EXPORTS = """
import sys
import time
from opentelemetry import trace
from opentelemetry.instrumentation.grpc import GrpcInstrumentorClient
from lean_tracing import TracingSettings, start_tracing

tracing = start_tracing(TracingSettings(endpoint=sys.argv[1], delay_ms=20))
trace.set_tracer_provider(tracing.provider)
GrpcInstrumentorClient().instrument()
with tracing.traces.span("work"):
    pass
assert tracing.flush()
time.sleep(0.5)
tracing.provider.shutdown()
"""


def test_an_instrumentation_of_grpc_makes_no_spans_of_the_export(receiver: Receiver) -> None:
    command = [sys.executable, "-c", _EXPORTS, receiver.endpoint]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert [span.name for span in receiver.spans()] == ["work"]


def test_the_providers_shutdown_sends_what_waits(receiver: Receiver, start: Start) -> None:
    tracing = start(delay_ms=60_000)
    with tracing.traces.span("work"):
        pass
    tracing.provider.shutdown()  # type: ignore[attr-defined]
    assert [span.name for span in receiver.spans()] == ["work"]


def test_without_tracing_the_provider_makes_no_spans() -> None:
    tracing = start_tracing(TracingSettings(enabled=False))
    assert isinstance(tracing.provider, NoOpTracerProvider)
    with tracing.provider.get_tracer("other").start_as_current_span("work") as span:
        assert not span.is_recording()
