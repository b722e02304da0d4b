"""The metrics of OpenTelemetry's conventions agree with the library's own account, and have the standard names."""

import grpc
from opentelemetry.semconv._incubating.metrics import otel_metrics

from checks.harness.receiver import Receiver, refuse
from lean_tracing import Tracing
from stack.polling import poll_until
from tests.support.exporting import Start, account, make

_STANDARD = {
    value.replace(".", "_")
    for name, value in vars(otel_metrics).items()
    if name.startswith("OTEL_SDK") and isinstance(value, str)
}


def _values(tracing: Tracing) -> dict[tuple[str, str], float]:
    """The samples by their name and error; those of other labels are added."""
    values: dict[tuple[str, str], float] = {}
    for metric in tracing.standard_metrics.collect():
        for sample in metric.samples:
            key = sample.name, sample.labels.get("error_type", "")
            values[key] = values.get(key, 0.0) + sample.value
    return values


def test_every_name_is_one_of_the_conventions(start: Start) -> None:
    names = {metric.name for metric in start(logs_exporter="otlp").standard_metrics.collect()}
    assert {name.removesuffix("_seconds") for name in names} <= _STANDARD
    assert {name for name in _STANDARD if "_span_" in name} - names == {
        name for name in _STANDARD if name.endswith(("_count", "_span_ended"))  # deprecated
    }  # fmt: skip


def test_each_span_is_counted_where_it_is(receiver: Receiver, start: Start) -> None:
    tracing = start(max_queue_size=10, max_batch_size=5)
    live = tracing.traces.start("live")
    make(tracing, range(3))
    assert tracing.flush()
    receiver.behave = refuse(grpc.StatusCode.INVALID_ARGUMENT)
    make(tracing, range(2))
    assert tracing.flush()
    receiver.behave = refuse(grpc.StatusCode.UNAVAILABLE)
    make(tracing, range(4))
    poll_until("the buffer to have them", lambda: account(tracing).buffered()[0] == 4)
    values = _values(tracing)
    assert values["otel_sdk_span_started_total", ""] == 10
    assert values["otel_sdk_span_live", ""] == 1
    assert values["otel_sdk_processor_span_processed_total", ""] == 9
    assert values["otel_sdk_exporter_span_exported_total", ""] == 3
    assert values["otel_sdk_exporter_span_exported_total", "invalid_argument"] == 2
    assert values["otel_sdk_exporter_span_inflight", ""] == 4
    assert values["otel_sdk_processor_span_queue_capacity", ""] == 10
    live.end()
