"""A trace store whose answers a test decides, and a Collector before it."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from checks.harness.collector import CollectorProcess, MissingProgram
from checks.harness.collector_with_store import running_collector
from checks.harness.receiver import Receiver, receiving
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
    with running_collector(store, tmp_path / "collector", queue_size=10_000) as process:
        yield process
