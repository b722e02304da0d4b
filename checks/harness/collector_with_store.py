"""The real Collector with a receiver in place of its trace store."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from checks.harness.collector import CollectorProcess
from checks.harness.receiver import Receiver
from collector.pipeline import OtlpTarget, Pipeline, render


@contextmanager
def running_collector(
    store: Receiver, directory: Path, queue_size: int, *, own_distribution: bool = False
) -> Iterator[CollectorProcess]:
    """Runs a Collector that sends spans to `store`, and whose span metrics are at most a second old.

    Args:
        store: takes the spans.
        directory: of the Collector's files.
        queue_size: spans that may wait for the store.
        own_distribution: whether it has the configuration of the project's distribution.
    """
    pipeline = Pipeline(
        trace_store=OtlpTarget(f"127.0.0.1:{store.port}"),
        metric_stores=[OtlpTarget("http://127.0.0.1:9", "http")],
        queue_size=queue_size,
        metrics_flush_interval="1s",
        own_distribution=own_distribution,
    )
    process = CollectorProcess(directory, render(pipeline))
    try:
        process.start()
        yield process
    finally:
        process.kill()
