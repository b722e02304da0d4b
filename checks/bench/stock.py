"""OpenTelemetry as its documentation sets it up: SDK, batch processor, OTLP over gRPC, the contrib instrumentations."""

import sys
import types
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import confluent_kafka
from fastapi import FastAPI
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.confluent_kafka import ConfluentKafkaInstrumentor
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NoOpTracerProvider
from opentelemetry.trace import TracerProvider as AnyTracerProvider
from sqlalchemy import Engine, create_engine

from checks.bench.instrumentation import ALIKE, FLUSH_SECONDS, QUEUE_SPANS, Consuming, Mode, Sending

if TYPE_CHECKING:
    from lean_tracing.asgi import App


class Stock:
    """Traces with the stock instrumentation of OpenTelemetry; implements `Instrumentation`."""

    def __init__(self, mode: Mode, service: str, endpoint: str) -> None:
        self._sdk: TracerProvider | None = None
        self._provider: AnyTracerProvider = NoOpTracerProvider()
        if mode != "off":
            self._provider = self._sdk = TracerProvider(
                sampler=ParentBased(TraceIdRatioBased(0.0 if mode == "unsampled" else 1.0)),
                resource=Resource.create({"service.name": service}),
            )
            self._sdk.add_span_processor(
                BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint), max_queue_size=QUEUE_SPANS)
            )
        ConfluentKafkaInstrumentor().instrument(tracer_provider=self._provider)
        self._tracer = self._provider.get_tracer("checks.bench")

    def application(self, app: FastAPI) -> "App":
        FastAPIInstrumentor.instrument_app(app, tracer_provider=self._provider)
        return app

    def engine(self, engine: Engine) -> None:
        # The instrumentor also wraps SQLAlchemy's asyncio part, whose import needs a package that is not installed.
        absent = types.ModuleType("sqlalchemy.ext.asyncio")
        absent.create_async_engine = create_engine  # type: ignore[attr-defined]
        sys.modules.setdefault(absent.__name__, absent)
        # It works with SQLAlchemy 2.1, but its dependency check refuses this version with only a line in the log.
        SQLAlchemyInstrumentor().instrument(engine=engine, tracer_provider=self._provider, skip_dep_check=True)

    def producer(self, config: dict[str, Any]) -> Sending:
        client = confluent_kafka.Producer(config)  # through the module, where the instrumentor has replaced the class
        return Sending(client=client, produce=client.produce)

    def consumer(self, config: dict[str, Any]) -> Consuming:
        """Return a consumer whose spans begin and end in poll()."""
        return Consuming(client=confluent_kafka.Consumer(config), process=nullcontext)

    def span(self, attributes: Mapping[str, str | int | float]) -> AbstractContextManager[object]:
        return self._tracer.start_as_current_span(ALIKE, attributes=attributes)

    def flush(self) -> None:
        if self._sdk is not None and not self._sdk.force_flush(int(FLUSH_SECONDS * 1000)):
            raise TimeoutError("the stock SDK could not export its spans")
