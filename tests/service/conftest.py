"""Tracing that keeps its spans, and a Kafka that runs inside the process."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from confluent_kafka import Producer
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.tracing import TraceManager, Tracing, TracingSettings, start_tracing
from tests.service.polling import poll_until


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Recorder:
    """Tracing of one service, and what it recorded."""

    tracing: Tracing
    exporter: InMemorySpanExporter

    @property
    def traces(self) -> TraceManager:
        return self.tracing.traces

    def spans(self) -> list[ReadableSpan]:
        """All ended spans, in the order of their ends."""
        provider = self.tracing._provider
        assert provider is not None
        provider.force_flush()
        return list(self.exporter.get_finished_spans())

    def one(self, name: str) -> ReadableSpan:
        """The only span of this name."""
        found = [span for span in self.spans() if span.name == name]
        assert len(found) == 1, f"{len(found)} spans named {name!r} among {[span.name for span in self.spans()]}"
        return found[0]


@pytest.fixture(scope="module")
def make_recorder() -> Iterator[Callable[[str], Recorder]]:
    made: list[Recorder] = []

    def make(service_name: str) -> Recorder:
        exporter = InMemorySpanExporter()
        settings = TracingSettings(service_name=service_name, delay_ms=50, hash_key="a key for tests")
        recorder = Recorder(start_tracing(settings, exporter=exporter), exporter)
        made.append(recorder)
        return recorder

    yield make
    for recorder in made:
        recorder.tracing.shutdown()


@pytest.fixture
def recorder(make_recorder: Callable[[str], Recorder]) -> Recorder:
    return make_recorder("under-test")


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Addresses of a mock cluster: the real protocol, inside this process; it makes topics when they are asked for."""
    owner = Producer({"bootstrap.servers": "replaced:9092", "test.mock.num.brokers": 1, "log_level": 3})

    def brokers() -> str:
        return ",".join(f"{broker.host}:{broker.port}" for broker in owner.list_topics(timeout=1).brokers.values())

    yield poll_until("mock broker", brokers)
    owner.flush(0)
