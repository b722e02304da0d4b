"""Logfire as its documentation sets it up for other back ends: its API, OpenTelemetry's SDK, OTLP over HTTP."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, cast

import logfire
from fastapi import FastAPI
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from checks.bench.alternatives.requests_only import RequestsOnly
from checks.bench.instrumentation import ALIKE, FLUSH_SECONDS, QUEUE_SPANS

if TYPE_CHECKING:
    from lean_tracing.asgi import App


class Logfire(RequestsOnly):
    """Traces with Logfire; implements `Instrumentation`."""

    def __init__(self, service: str, endpoint: str) -> None:
        exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
        self._logfire = logfire.configure(
            service_name=service,
            send_to_logfire=False,
            console=False,  # stdout has the answers of the worker
            distributed_tracing=True,  # the requests continue traces
            additional_span_processors=[BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS)],
        )

    def application(self, app: FastAPI) -> "App":
        self._logfire.instrument_fastapi(app)
        return app

    def span(self, attributes: Mapping[str, str | int | float]) -> AbstractContextManager[object]:
        return cast(AbstractContextManager[object], self._logfire.span(ALIKE, **attributes))

    def flush(self) -> None:
        if not self._logfire.force_flush(int(FLUSH_SECONDS * 1000)):
            raise TimeoutError("Logfire could not export its spans")
