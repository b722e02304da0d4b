"""An outage of a trace store: Jaeger is killed and started again, while a Collector gets spans at a constant rate."""

import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from checks.bench.path_load import SPANS_A_BATCH, Batches, send_at_rate
from checks.harness.collector import TOKEN, CollectorProcess
from checks.harness.jaeger import JaegerProcess
from collector.pipeline import OtlpTarget, Pipeline, render
from contracts import metrics
from stack.components.collector.memory import garbage_collection
from stack.polling import poll_until

_QUEUE: Final = 2_000_000
_MEMORY: Final = "512Mi"
_TAIL_SECONDS: Final = 120.0
"""Spans arrive for so long after the outage."""


@dataclass(frozen=True, kw_only=True)
class Outage:
    """A store that was unavailable."""

    waiting: float
    """Spans that waited at its end."""
    reconnect_seconds: float
    """From the end until the Collector sent the first span."""
    empty_seconds: float
    """From then until only the spans of a second waited."""
    rate: float
    """Spans/s that arrived."""

    @property
    def drained(self) -> float:
        """Spans/s that the store took while the queue emptied."""
        return (self.waiting - self.rate) / self.empty_seconds + self.rate


def outage(rate: float, seconds: float) -> Outage:
    """Kill Jaeger, and start it again after `seconds`, while a Collector gets spans at a constant rate."""
    is_over = threading.Event()
    batches, count = Batches(), round(rate * (seconds + _TAIL_SECONDS) / SPANS_A_BATCH)
    with tempfile.TemporaryDirectory(dir=".", prefix=".path-") as folder:
        directory = Path(folder).resolve()
        jaeger = JaegerProcess(directory)
        pipeline = Pipeline(trace_store=OtlpTarget(jaeger.otlp), metric_stores=[], queue_size=_QUEUE)
        collector = CollectorProcess(directory / "collector", render(pipeline), garbage_collection(_MEMORY))
        try:
            jaeger.start()
            collector.start()
            send_at_rate(batches, collector.grpc, TOKEN, first=0, count=2, spans_per_second=rate)
            poll_until("the first spans", lambda: _sent(collector) >= 2 * SPANS_A_BATCH)
            jaeger.kill()
            with ThreadPoolExecutor(1) as pool:
                sending = pool.submit(
                    send_at_rate,
                    batches,
                    collector.grpc,
                    TOKEN,
                    first=2,
                    count=count,
                    spans_per_second=rate,
                    is_over=is_over,
                )
                try:
                    return _recovered(jaeger, collector, rate, seconds)
                finally:
                    is_over.set()
                    sending.result()
        finally:
            collector.kill()
            jaeger.kill()


def _recovered(jaeger: JaegerProcess, collector: CollectorProcess, rate: float, seconds: float) -> Outage:
    """Start Jaeger after `seconds`, and wait until the queue is empty."""
    time.sleep(seconds)
    jaeger.start()
    back, sent = time.monotonic(), _sent(collector)
    poll_until("the first span after the outage", lambda: _sent(collector) > sent, seconds=_TAIL_SECONDS)
    first, waiting = time.monotonic(), _waiting(collector)
    arrived = max(rate, SPANS_A_BATCH)
    poll_until(
        "the empty queue",
        lambda: _waiting(collector) <= arrived,
        seconds=_TAIL_SECONDS,
        look_at="what else uses the CPU: the store must take more spans than arrive",
    )
    empty = time.monotonic() - first
    return Outage(waiting=waiting, reconnect_seconds=first - back, empty_seconds=empty, rate=rate)


def _sent(collector: CollectorProcess) -> float:
    return collector.metric(metrics.SENT_SPANS, exporter="otlp_grpc/traces")


def _waiting(collector: CollectorProcess) -> float:
    return collector.metric(metrics.ACCEPTED_SPANS) - _sent(collector)
