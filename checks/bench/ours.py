"""The variant with this project's tracing library, as the services use it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from confluent_kafka import Consumer, Producer
from fastapi import FastAPI
from sqlalchemy import Engine

from checks.bench.instrumentation import ALIKE, FLUSH_SECONDS, QUEUE_SPANS, Consuming, Mode, Sending
from lean_tracing import TracingSettings, start_tracing
from lean_tracing.asgi import App, TracingMiddleware
from lean_tracing.kafka import TracingConsumer, TracingProducer
from lean_tracing.sqlalchemy import instrument_engine

_NAME = "bench"


class Ours:
    """Traces with this library; implements `Instrumentation`."""

    def __init__(self, mode: Mode, service: str, endpoint: str, *, native: bool, over_http: bool) -> None:
        self._tracing = start_tracing(
            TracingSettings(
                native=native,
                enabled=mode != "off",
                sampling_rate=0.0 if mode == "unsampled" else 1.0,
                service_name=service,
                protocol="http/protobuf" if over_http else "grpc",
                endpoint=endpoint,
                max_queue_size=QUEUE_SPANS,
                hash_key="a key for measuring",
            )
        )
        self._traces = self._tracing.traces

    def application(self, app: FastAPI) -> "App":
        return TracingMiddleware(app, self._traces)

    def engine(self, engine: Engine) -> None:
        instrument_engine(engine, self._traces)

    def producer(self, config: dict[str, Any]) -> Sending:
        client = Producer(config)
        return Sending(client=client, produce=TracingProducer(client, self._traces, client_id=_NAME).produce)

    def consumer(self, config: dict[str, Any]) -> Consuming:
        client = Consumer(config)
        tracing = TracingConsumer(client, self._traces, group=_NAME, client_id=_NAME)
        return Consuming(client=client, process=tracing.process)

    def span(self, attributes: Mapping[str, str | int | float]) -> AbstractContextManager[object]:
        return self._traces.span(ALIKE, attributes=attributes)

    def flush(self) -> None:
        if not self._tracing.flush(FLUSH_SECONDS):
            raise TimeoutError("the tracing library could not export its spans")
