"""The metrics that OpenTelemetry's conventions define for SDKs, `otel.sdk.*`, from this library's account.

They are in development, so their names may change with the conventions. `Statistics` has more: outages, the breaker,
the cost of tracing. Of `otel.sdk.span.started` the origin of the parent is not counted.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from lean_tracing.statistics import SignalStatistics, Statistics

# In the conventions, and in the names of components.
_NOUNS: Final = {"traces": "span", "logs": "log"}
# The exporter's; all others are the processor's.
_DROPPED_BY_EXPORTER: Final = frozenset({"buffer_full"})
_COMPONENT: Final = ("otel_component_type", "otel_component_name")
_WITH_ERROR: Final = (*_COMPONENT, "error_type")


class StandardMetrics(Collector):
    """A Prometheus collector: `registry.register(tracing.standard_metrics)`."""

    def __init__(self, statistics: Statistics, protocols: Mapping[str, str]) -> None:
        """Creates a collector.

        Args:
            statistics: the account.
            protocols: `grpc` or `http`, by signal.
        """
        self._statistics = statistics
        self._protocols = protocols

    def collect(self) -> Iterator[Metric]:
        """The metrics, all with the prefix `otel_sdk_`."""
        spans = self._statistics.spans
        started = CounterMetricFamily("otel_sdk_span_started", "Created spans.", labels=["otel_span_sampling_result"])
        started.add_metric(["RECORD_AND_SAMPLE"], spans.started)
        started.add_metric(["DROP"], spans.sampled_out)
        yield started
        for signal in self._statistics.signals:
            noun = _NOUNS[signal.signal]
            if noun == "span":
                yield GaugeMetricFamily(
                    "otel_sdk_span_live", "Recorded spans that have not ended.", value=spans.started - signal.ended
                )
            yield from _processor(signal, noun)
            yield from self._exporter(signal, noun)
        duration = HistogramMetricFamily(
            "otel_sdk_exporter_operation_duration_seconds", "Time of a request.", labels=_COMPONENT
        )
        for signal in self._statistics.signals:
            names = self._exporter_names(signal)
            duration.add_metric(names, buckets=signal.cumulated_buckets, sum_value=signal.request_seconds)
        yield duration

    def _exporter_names(self, signal: SignalStatistics) -> list[str]:
        return _names(f"otlp_{self._protocols[signal.signal]}_{_NOUNS[signal.signal]}_exporter")

    def _exporter(self, signal: SignalStatistics, noun: str) -> Iterator[Metric]:
        component = self._exporter_names(signal)
        exported = CounterMetricFamily(
            f"otel_sdk_exporter_{noun}_exported", "Items whose export has finished.", labels=_WITH_ERROR
        )
        exported.add_metric([*component, ""], signal.exported)
        for reason, count in dict(signal.refused).items():
            exported.add_metric([*component, reason], count)
        for reason in _DROPPED_BY_EXPORTER & signal.dropped.keys():
            exported.add_metric([*component, reason], signal.dropped[reason])
        yield exported
        inflight = GaugeMetricFamily(
            f"otel_sdk_exporter_{noun}_inflight", "Items passed to the exporter, not finished.", labels=_COMPONENT
        )
        inflight.add_metric(component, signal.in_flight + signal.buffered()[0])
        yield inflight


def _processor(signal: SignalStatistics, noun: str) -> Iterator[Metric]:
    component = _names(f"batching_{noun}_processor")
    dropped = {reason: count for reason, count in dict(signal.dropped).items() if reason not in _DROPPED_BY_EXPORTER}
    processed = CounterMetricFamily(
        f"otel_sdk_processor_{noun}_processed", "Items whose processing has finished.", labels=_WITH_ERROR
    )
    processed.add_metric([*component, ""], signal.ended - signal.queued() - sum(dropped.values()))
    for reason, count in dropped.items():
        processed.add_metric([*component, reason], count)
    yield processed
    for name, text, value in (
        ("size", "Items in the queue.", signal.queued()),
        ("capacity", "At most.", signal.queue_capacity),
    ):
        gauge = GaugeMetricFamily(f"otel_sdk_processor_{noun}_queue_{name}", text, labels=_COMPONENT)
        gauge.add_metric(component, value)
        yield gauge


def _names(kind: str) -> list[str]:
    """The component's type and name; a process has one of each."""
    return [kind, f"{kind}/0"]
