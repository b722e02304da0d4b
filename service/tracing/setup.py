"""Starts and stops the OpenTelemetry SDK for one service. Nothing global is set: two services fit in one process."""

from __future__ import annotations

import atexit
import threading

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NoOpTracer

from service.tracing import attributes as keys
from service.tracing.config import TracingSettings
from service.tracing.masking import Masker
from service.tracing.spans import TraceManager

# Well inside a pod's 30 s grace period, which the rest of the shutdown shares.
_FLUSH_SECONDS = 5.0


class Tracing:
    """A running SDK: `traces` makes spans, `shutdown` sends the last ones."""

    def __init__(
        self, traces: TraceManager, provider: TracerProvider | None = None, exporter: SpanExporter | None = None
    ) -> None:
        self.traces = traces
        self.masker = traces.masker
        self._provider = provider
        self._exporter = exporter
        self._stopped = False
        atexit.register(self.shutdown)

    def flush(self, seconds: float = _FLUSH_SECONDS) -> bool:
        """Sends what has ended so far; False when time ran out."""
        return self._provider is None or self._provider.force_flush(int(seconds * 1000))

    def shutdown(self, seconds: float = _FLUSH_SECONDS) -> bool:
        """Flushes and stops; at most `seconds` plus one more for the exporter to let go. False when time ran out.

        Call it last, after what makes spans has stopped; calling it again does nothing. In a service that is the end of
        the SIGTERM path; otherwise the interpreter's exit calls it.
        """
        if self._stopped:
            return True
        self._stopped = True
        atexit.unregister(self.shutdown)
        if self._provider is None or self._exporter is None:
            return True
        # The SDK waits up to 30 s here when the Collector is away, so it waits in a thread of its own.
        flush = threading.Thread(target=self._provider.shutdown, name="tracing-shutdown", daemon=True)
        flush.start()
        flush.join(seconds)
        if not flush.is_alive():
            return True
        self._exporter.shutdown()  # wakes the exporter out of its retry
        flush.join(1.0)
        return False


def start_tracing(settings: TracingSettings, *, exporter: SpanExporter | None = None) -> Tracing:
    """Starts the SDK as `settings` say; `exporter` replaces OTLP over gRPC (tests hand in one that keeps spans).

    Never waits for the Collector and never fails because of it.
    """
    masker = Masker(settings.hash_key.get_secret_value() if settings.hash_key else None)
    if not settings.active:
        return Tracing(TraceManager(NoOpTracer(), masker))
    exporter = exporter or _otlp_exporter(settings)
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.sampling_rate)),
        resource=Resource.create({**settings.resource_attributes, keys.SERVICE_NAME: settings.service_name}),
        shutdown_on_exit=False,  # Tracing.shutdown does it, within a limit
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=settings.max_queue_size,
            schedule_delay_millis=settings.delay_ms,
            max_export_batch_size=settings.max_batch_size,
            export_timeout_millis=settings.timeout_ms,
        )
    )
    return Tracing(TraceManager(provider.get_tracer("service.tracing"), masker), provider, exporter)


def _otlp_exporter(settings: TracingSettings) -> SpanExporter:
    # Imported late: gRPC costs start-up time and memory that a service without tracing need not pay.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=settings.endpoint, timeout=settings.timeout_ms / 1000)
