"""The root span of the probe's traces: the real Collector accepts it, with its token, and sends it to the store."""

import time

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from checks.harness.collector import TOKEN, CollectorProcess
from checks.harness.receiver import Receiver
from lean_tracing.otlp_exporter import TRACES
from stack.polling import poll_until
from stack.probe.request import PROBE
from stack.probe.root import Collector, RootSpan


def span(error: str = "") -> RootSpan:
    now = time.time_ns()
    return RootSpan(trace_id="a" * 32, span_id="b" * 16, caller=PROBE, started=now, ended=now + 1, error=error)


def test_the_root_span_reaches_the_store(collector: CollectorProcess, store: Receiver) -> None:
    Collector(url=collector.http, token=TOKEN, environment="test").export(span("ConnectError"))
    poll_until("the span in the store", store.spans)
    (stored,) = store.spans()
    assert (stored.trace_id.hex(), stored.span_id.hex(), stored.parent_span_id) == ("a" * 32, "b" * 16, b"")
    assert (stored.name, stored.trace_state, stored.status.message) == ("request", "keep=1", "ConnectError")
    (part,) = ExportTraceServiceRequest.FromString(store.requests[TRACES][0]).resource_spans
    resource = {attribute.key: attribute.value.string_value for attribute in part.resource.attributes}
    assert resource["service.name"] == "probe"
    assert resource["deployment.environment.name"] == "test"


def test_another_token_is_refused(collector: CollectorProcess) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        Collector(url=collector.http, token="wrong", environment="test").export(span())
