"""Spans on their way from a Collector through Kafka and a sampler to a store, all of them processes."""

from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from checks.harness.collector import MissingProgram
from checks.harness.collector_with_sampler import collector_with_sampler
from checks.harness.receiver import receiving
from collector.pipeline import KafkaTarget, OtlpTarget, Pipeline, Sampler
from stack.polling import poll_until
from tests.support.programs import skipping


def send_a_span(folder: Path, collector: tuple[KafkaTarget, str], sampler: tuple[KafkaTarget, str]) -> None:
    """Sends a span to a Collector, and returns when the store has it.

    Args:
        folder: of the files.
        collector: how the Collector reaches Kafka, and its password.
        sampler: the same of the sampler.
    """
    with skipping("otelcol-contrib", MissingProgram), receiving() as store:
        settings = Pipeline(
            trace_store=OtlpTarget("127.0.0.1:9"),
            metric_stores=[OtlpTarget("http://127.0.0.1:9", "http")],
            queue_size=10_000,
            sampled_through=collector[0],
        )
        sampling = Sampler(
            trace_store=OtlpTarget(f"127.0.0.1:{store.port}"),
            kafka=sampler[0],
            queue_size=10_000,
            ratio=1,
            errors=True,
            slow_ms=None,
            decision_wait_seconds=1,
            traces=1000,
        )
        with collector_with_sampler(
            folder,
            settings,
            sampling,
            collector_environment={"KAFKA_PASSWORD": collector[1]},
            sampler_environment={"KAFKA_PASSWORD": sampler[1]},
        ) as (sending, _):
            sending.send(_span())
            poll_until("the span in the store", lambda: [item.name for item in store.spans()] == ["stored"])


def _span() -> bytes:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(
        name="stored", trace_id=bytes(15) + b"\x01", span_id=b"12345678"
    )
    return bytes(request.SerializeToString())
