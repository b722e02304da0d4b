"""A collector that raises does not affect other metrics."""

import logging
from collections.abc import Iterable

import pytest
from prometheus_client import Gauge, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from service.common.metrics import Metrics


class _Flaky(Collector):
    def __init__(self) -> None:
        self.is_broken = True

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("flaky", "From a part that fails sometimes.", value=1)
        if self.is_broken:
            raise RuntimeError("dictionary changed size during iteration")


def test_other_metrics_are_scraped_and_the_failure_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    metrics, flaky = Metrics(), _Flaky()
    metrics.registry.register(flaky)
    metrics.consumed.labels("topic", "done").inc()
    for encode in (generate_latest, generate_openmetrics, generate_latest):
        text = encode(metrics.registry).decode()
        assert 'kafka_messages_consumed_total{outcome="done",topic="topic"} 1.0' in text
        assert "flaky 1.0" not in text, "half of a collector's metrics would look like all"
    assert 'metrics_collection_failures_total{collector="_Flaky"} 3.0' in generate_latest(metrics.registry).decode()
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1
    flaky.is_broken = False
    assert "flaky 1.0" in generate_latest(metrics.registry).decode()


def test_a_gauge_whose_function_raises_is_left_out() -> None:
    metrics = Metrics()
    Gauge("asks", "Asks a server.", registry=metrics.registry).set_function(lambda: 1 / 0)
    text = generate_latest(metrics.registry).decode()
    assert "\nasks " not in text
    assert "process_cpu_seconds_total" in text


def test_a_collector_can_be_unregistered() -> None:
    metrics, flaky = Metrics(), _Flaky()
    metrics.registry.register(flaky)
    metrics.registry.unregister(flaky)
    assert "_Flaky" not in generate_latest(metrics.registry).decode()
    with pytest.raises(ValueError, match="Duplicated"):
        Gauge("dependency_up", "A second one.", registry=metrics.registry)
