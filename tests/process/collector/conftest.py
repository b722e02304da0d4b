"""A trace store whose answers a test decides, and a Collector before it."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from checks.harness.collector import CollectorProcess, MissingProgram
from checks.harness.receiver import Receiver, receiving
from collector.pipeline import OtlpTarget, Pipeline, render
from contracts import endpoints
from tests.support.programs import skipping


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None]:
    """Skips a test whose fixtures start a Collector, if there is none."""
    with skipping("otelcol-contrib", MissingProgram):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """Skips a test that starts a Collector itself, if there is none."""
    with skipping("otelcol-contrib", MissingProgram):
        return (yield)


@pytest.fixture
def store() -> Iterator[Receiver]:
    with receiving(largest=endpoints.OTLP_MAX_MIB << 20) as receiver:
        yield receiver


@pytest.fixture
def collector(store: Receiver, tmp_path: Path) -> Iterator[CollectorProcess]:
    """A healthy Collector with a queue of 10,000 spans."""
    pipeline = Pipeline(
        trace_store=OtlpTarget(f"127.0.0.1:{store.port}"),
        metric_stores=["http://127.0.0.1:9"],
        queue_size=10_000,
        metrics_flush_interval="1s",
    )
    process = CollectorProcess(tmp_path / "collector", render(pipeline))
    process.start()
    yield process
    process.kill()
