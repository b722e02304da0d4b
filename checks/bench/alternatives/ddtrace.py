"""Datadog's tracer with its own API and its integration of FastAPI. It exports to its agent, or OTLP over HTTP.

Telemetry about the tracer itself, remote configuration and crash reports are off: only tracing is measured.
"""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, cast

from fastapi import FastAPI

from checks.bench.alternatives.requests_only import RequestsOnly
from checks.bench.instrumentation import ALIKE

if TYPE_CHECKING:
    from lean_tracing.asgi import App


class Ddtrace(RequestsOnly):
    """Traces with ddtrace; implements `Instrumentation`."""

    def __init__(self, service: str, endpoint: str, *, over_otlp: bool) -> None:
        if over_otlp:
            os.environ.update(
                OTEL_TRACES_EXPORTER="otlp",
                OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="http/protobuf",
                OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{endpoint}/v1/traces",
            )
        else:
            # The version is the default, which the receiver reads.
            os.environ.update(DD_TRACE_AGENT_URL=endpoint, DD_TRACE_API_VERSION="v0.5")
        os.environ.update(
            DD_SERVICE=service,
            DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
            DD_REMOTE_CONFIGURATION_ENABLED="false",
            DD_CRASHTRACKING_ENABLED="false",
        )
        import ddtrace  # reads the environment at its import

        ddtrace.patch(fastapi=True)
        self._tracer = ddtrace.tracer

    def application(self, app: FastAPI) -> "App":
        return app  # the integration has changed FastAPI's classes

    def span(self, attributes: Mapping[str, str | int | float]) -> AbstractContextManager[object]:
        span = self._tracer.trace(ALIKE)
        span.set_tags(attributes)
        return cast(AbstractContextManager[object], span)

    def flush(self) -> None:
        self._tracer.flush()
