"""A real Collector sends to a receiver that cannot be queried; a real Prometheus has what the smoke check reads."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from checks.harness.collector import TOKEN, CollectorProcess
from checks.harness.collector_with_store import running_collector
from checks.harness.receiver import Receiver, accept, receiving, refuse
from contracts import endpoints, metrics
from stack.clients.prometheus import PrometheusClient
from stack.components.prometheus.config import prometheus_config
from stack.polling import CheckFailure, poll_until
from stack.probe import otlp
from stack.probe.request import SMOKE_CHECK
from stack.settings import parse
from stack.settings.scraping import scraping
from stack.smoke.acknowledged import Watch
from tests.support.program import pipeline_config
from tests.support.prometheus_process import PrometheusProcess

_OFTEN: Final = {"scrape_interval": "500ms", "scrape_timeout": "500ms"}
SETTINGS = parse(pipeline_config(traces={"external": {"otlpUrl": "https://otlp.example.com:4317"}}), "test")


@dataclass(frozen=True, kw_only=True)
class Way:
    """The way of a span."""

    collector: CollectorProcess
    receiver: Receiver
    prometheus: PrometheusClient

    def send(self, service: str = SMOKE_CHECK.service) -> None:
        now, trace_id = time.time_ns(), secrets.token_hex(16)
        times: dict[str, Any] = {"started": now, "ended": now + 1_000_000, "attributes": {}}
        spans = [otlp.span(trace_id, secrets.token_hex(8), name, otlp.SERVER, **times) for name in ("one", "two")]
        otlp.send(self.collector.http, TOKEN, otlp.export_request(service, spans))

    def counted(self, selector: str) -> float:
        return sum(one.value for one in self.prometheus.query(selector))


def _scraping(collector: CollectorProcess) -> dict[str, Any]:
    def job(name: str, port: int) -> dict[str, Any]:
        return {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}

    return {
        "global": {**prometheus_config(scraping(SETTINGS))["global"], **_OFTEN},
        "scrape_configs": [
            job(endpoints.COLLECTOR, collector.telemetry),
            job(metrics.SPAN_METRICS_JOB, collector.span_metrics_port),
        ],
    }


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    with receiving() as receiver, running_collector(receiver, tmp_path / "collector", 10_000) as collector:
        (tmp_path / "prometheus").mkdir()
        server = PrometheusProcess(tmp_path / "prometheus", config=_scraping(collector))
        server.start()
        try:
            prometheus = PrometheusClient(server.url)
            made = Way(collector=collector, receiver=receiver, prometheus=prometheus)
            poll_until("the Collector's metrics", lambda: made.counted(f'up{{job="{endpoints.COLLECTOR}"}}'))
            yield made
        finally:
            server.kill()


def test_the_receiver_has_acknowledged_exactly_what_was_accepted(way: Way) -> None:
    way.send("another service")
    poll_until("the other spans to be counted", lambda: way.counted(metrics.SENT_SPANS) == 2)
    watch = Watch(way.prometheus, SETTINGS, seconds=30)
    way.send()
    (result,) = watch.wait()
    assert (result.accepted, result.sent) == (2, 2)
    assert len(way.receiver.spans()) == 4


def test_a_receiver_that_is_unavailable_fails_the_check_until_it_has_the_spans(way: Way) -> None:
    way.receiver.behave = refuse(grpc.StatusCode.UNAVAILABLE)
    watch = Watch(way.prometheus, SETTINGS, seconds=10)
    way.send()
    with pytest.raises(CheckFailure, match="acknowledge 2 spans: 0 are acknowledged, 0 given up, 2 wait"):
        watch.wait()
    way.receiver.behave = accept
    poll_until("the spans to be sent again", lambda: way.counted(metrics.SENT_SPANS) == 2)
    assert watch.wait()[0].sent == 2


def test_a_receiver_that_refuses_the_spans_fails_the_check(way: Way) -> None:
    way.receiver.behave = refuse(grpc.StatusCode.PERMISSION_DENIED)
    watch = Watch(way.prometheus, SETTINGS, seconds=10)
    way.send()
    with pytest.raises(CheckFailure, match="acknowledge 2 spans: 0 are acknowledged, 2 given up, 0 wait"):
        watch.wait()
