"""Kafka's brokers as processes."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.harness.kafka import KafkaBrokers
from tests.support.kafka_process import libraries


@pytest.fixture(scope="module", autouse=True)
def _event_loop() -> Iterator[None]:
    """Pulumi's outputs need an event loop, and a test that called `asyncio.run` left none behind."""
    with asyncio.Runner() as runner:
        runner.get_loop()
        yield


@pytest.fixture(scope="session")
def class_path() -> str:
    return libraries()


@pytest.fixture
def brokers(class_path: str, tmp_path: Path) -> Iterator[KafkaBrokers]:
    """A cluster that is not configured yet."""
    cluster = KafkaBrokers(tmp_path, class_path)
    yield cluster
    cluster.kill()
