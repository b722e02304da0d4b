"""A tracer provider, so that the instrumentations of other libraries make this library's spans."""

from collections.abc import Callable
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, Span, Tracer, TracerProvider
from opentelemetry.util.types import Attributes

from lean_tracing.suppression import SUPPRESSED
from lean_tracing.tracer import LeanTracer, TracerParts


class _SuppressibleTracer(LeanTracer):
    """Makes no spans in a suppressed block, which for its own spans `TraceManager` looks after."""

    def start_span(self, name: str, context: Context | None = None, *arguments: Any, **named: Any) -> Span:
        if otel_context.get_value(SUPPRESSED):
            return NonRecordingSpan(trace.get_current_span(context).get_span_context())
        return super().start_span(name, context, *arguments, **named)


class LeanTracerProvider(TracerProvider):
    """Makes tracers whose spans are sampled, limited, redacted and exported like all others of the process.

    Attributes:
        resource: that of all spans.
    """

    def __init__(
        self, resource: Resource, parts: TracerParts, flush: Callable[[float], bool], shutdown: Callable[[], bool]
    ) -> None:
        """Creates a provider.

        Args:
            resource: that of the process.
            parts: what all tracers share.
            flush: sends what waits within a number of seconds; False if that takes longer.
            shutdown: sends what waits, and ends the export.
        """
        self.resource = resource
        self._parts = parts
        self._flush = flush
        self._shutdown = shutdown

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        """A tracer of one instrumentation."""
        name = instrumenting_module_name or ""
        scope = InstrumentationScope(name, instrumenting_library_version, schema_url, attributes)
        return _SuppressibleTracer(scope, self._parts)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Waits until all ended spans are sent, as that of the SDK does; False if that takes longer."""
        return self._flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Ends the tracing, as that of the SDK does; the same as `Tracing.shutdown`."""
        self._shutdown()
