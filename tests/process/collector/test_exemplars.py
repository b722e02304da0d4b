"""With sampling, exemplars name only traces that the samplers keep; a real sampler decides."""

import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from checks.harness.collector import CollectorProcess
from checks.harness.receiver import Receiver
from collector.pipeline import KafkaTarget, OtlpTarget, Pipeline, Sampler, render, render_sampler
from contracts import endpoints
from contracts.http import KEEP_KEY
from service.common.stored import KEPT, StoredTraces
from stack.polling import poll_until

RATIO, SLOW_MS = 0.1, 500
RANDOM = random.Random(14)
IDS = [RANDOM.getrandbits(128) for _ in range(300)]
FAILED, SLOW = IDS[:5], IDS[5:10]


@pytest.fixture
def sampler(store: Receiver, tmp_path: Path) -> Iterator[CollectorProcess]:
    """A sampler that receives spans over OTLP instead of from Kafka."""
    asked = Sampler(
        trace_store=OtlpTarget(f"127.0.0.1:{store.port}"),
        kafka=KafkaTarget("kafka:9092"),
        queue_size=10_000,
        ratio=RATIO,
        errors=True,
        slow_ms=SLOW_MS,
        decision_wait_seconds=1,
        traces=1000,
        metrics_flush_interval="1s",
    )
    config = yaml.safe_load(render_sampler(asked))
    config["receivers"] = {"otlp": {"protocols": {"grpc": {"endpoint": f"0.0.0.0:{endpoints.OTLP_GRPC_PORT}"}}}}
    config["service"]["pipelines"]["traces"]["receivers"] = ["otlp"]
    process = CollectorProcess(tmp_path / "sampler", yaml.safe_dump(config))
    process.start()
    yield process
    process.kill()


def _request() -> bytes:
    """Return a request with a span of each trace."""
    request = ExportTraceServiceRequest()
    of_service = request.resource_spans.add()
    of_service.resource.attributes.add(key="service.name").value.string_value = "worker"
    spans = of_service.scope_spans.add().spans
    now = time.time_ns()
    for trace_id in IDS:
        span = spans.add(trace_id=trace_id.to_bytes(16, "big"), span_id=b"12345678", name="work")
        span.start_time_unix_nano = now
        span.end_time_unix_nano = now + (SLOW_MS + 100 if trace_id in SLOW else 1) * 1_000_000
        if trace_id in FAILED:
            span.status.code = Status.STATUS_CODE_ERROR
    return bytes(request.SerializeToString())


def test_exemplars_lead_to_stored_traces(sampler: CollectorProcess, store: Receiver) -> None:
    stored_traces = StoredTraces(RATIO, SLOW_MS)

    def named(trace_id: int) -> bool:
        context = SpanContext(trace_id, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
        return stored_traces.has(context, (SLOW_MS + 100 if trace_id in SLOW else 1) / 1000)

    # The sampler keeps the traces that a service would name, and failed traces, which a service cannot know.
    expected = {trace_id for trace_id in IDS if named(trace_id)} | set(FAILED)
    assert len(expected) >= 20
    request, exemplars = _request(), set[str]()

    def find() -> set[str]:
        # An exemplar is visible from one flush to the next, so each look follows another arrival of the spans.
        sampler.send(request)
        exemplars.update(re.findall(r'trace_id="([0-9a-f]{32})"', sampler.span_metrics()))
        return exemplars

    poll_until("exemplars", find)
    poll_until(
        "the kept traces",
        lambda: {int.from_bytes(span.trace_id, "big") for span in store.spans()} == expected,
    )
    assert {int(trace_id, 16) for trace_id in exemplars} <= expected
    assert "traces_stored_duration_milliseconds_bucket" in sampler.span_metrics()


def test_with_sampling_the_collectors_have_no_exemplars() -> None:
    def enabled(kafka: KafkaTarget | None) -> bool:
        pipeline = Pipeline(
            trace_store=OtlpTarget("tempo:4317"),
            metric_stores=[OtlpTarget("http://prometheus:9090", "http")],
            queue_size=1,
            sampled_through=kafka,
        )
        return bool(yaml.safe_load(render(pipeline))["connectors"]["span_metrics"]["exemplars"]["enabled"])

    assert enabled(None)
    assert not enabled(KafkaTarget("kafka:9092"))


@pytest.mark.parametrize("sampled", [TraceFlags.DEFAULT, TraceFlags.SAMPLED])
def test_only_sampled_traces_are_named(sampled: int) -> None:
    context = SpanContext(IDS[0], 1, is_remote=False, trace_flags=TraceFlags(sampled))
    assert StoredTraces().has(context) is bool(sampled)
    assert not StoredTraces(0.0).has(context)


def test_a_trace_that_is_marked_is_named() -> None:
    assert KEPT[0] == KEEP_KEY
    context = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(1), trace_state=TraceState([KEPT]))
    assert StoredTraces(0.0).has(context)
