"""Starts and stops tracing for one service. Sets nothing global: two services fit in one process."""

import atexit
import logging
import os
import threading
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.semconv.schemas import Schemas
from opentelemetry.trace import NoOpTracer, NoOpTracerProvider, TracerProvider

from lean_tracing import attributes as keys
from lean_tracing import native, otlp_exporter
from lean_tracing.batch_processor import BatchProcessor
from lean_tracing.cardinality import KNOWN_METHODS
from lean_tracing.children import call_at_childs_end
from lean_tracing.encoding import Encoder
from lean_tracing.export_result import Exporter
from lean_tracing.log_encoder import LogEncoder, LogEntry
from lean_tracing.logs import OtlpHandler
from lean_tracing.otlp_exporter import OtlpExporter
from lean_tracing.otlp_http import OtlpHttpExporter
from lean_tracing.own_attributes import PREFIX, OwnAttributes
from lean_tracing.propagation import Propagator
from lean_tracing.provider import LeanTracerProvider
from lean_tracing.readable_span import to_readable_span
from lean_tracing.redaction import Redactor
from lean_tracing.sampling import TraceSampler
from lean_tracing.settings import Signal, TracingSettings
from lean_tracing.span import Limits, RecordedSpan
from lean_tracing.span_encoder import SpanEncoder
from lean_tracing.spans import TraceManager
from lean_tracing.standard_metrics import StandardMetrics
from lean_tracing.statistics import SpanCounts, Statistics
from lean_tracing.tracer import LeanTracer, TracerParts
from lean_tracing.version import NAME, VERSION

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

Item = TypeVar("Item")

# Much less than a pod's 30 s grace period, which the rest of the shutdown shares.
_FLUSH_SECONDS: Final = 5.0
# Time to end a request that hangs, and the thread.
_CLOSE_SECONDS: Final = 1.5
SCHEMA_URL: Final = list(Schemas)[-1].value
"""Of the conventions that the attributes follow: those of the installed version."""
_SCOPE: Final = InstrumentationScope("lean_tracing", VERSION, SCHEMA_URL)
_logger = logging.getLogger(__name__)


class Tracing:
    """The tracing of a service: it keeps this object to flush and to shut down.

    Attributes:
        traces: makes spans.
        provider: makes tracers for the instrumentations of other libraries.
        redactor: that of the spans.
        statistics: a Prometheus collector.
        standard_metrics: another one, with the names of OpenTelemetry's conventions.
        log_handler: sends logs as OTLP; None if logs are not exported.
    """

    def __init__(
        self,
        traces: TraceManager,
        *,
        resource: Resource,
        tracer_parts: TracerParts | None,
        statistics: Statistics,
        protocols: Mapping[str, str] | None = None,
        processors: Sequence[BatchProcessor[Any]] = (),
        sdk_processor: "SpanProcessor | None" = None,
        log_handler: logging.Handler | None = None,
        on_fork: Callable[[], None] | None = None,
    ) -> None:
        """Registers the end of the process.

        Args:
            traces: makes spans.
            resource: that of the process.
            tracer_parts: what all tracers share; None if there are no spans.
            statistics: of spans and log records.
            protocols: `grpc` or `http`, by signal that is exported.
            processors: export them.
            sdk_processor: exports them instead, through an exporter that replaces OTLP.
            log_handler: sends logs as OTLP.
            on_fork: called in each forked child.
        """
        self.traces = traces
        self.provider: TracerProvider = NoOpTracerProvider()
        if tracer_parts:
            self.provider = LeanTracerProvider(resource, tracer_parts, self.flush, self.shutdown)
        self.redactor = traces.redactor
        self.statistics = statistics
        self.standard_metrics = StandardMetrics(statistics, protocols or {})
        self.log_handler = log_handler
        self._processors = processors
        self._sdk_processor = sdk_processor
        self._stopped = False
        atexit.register(self.shutdown)
        if on_fork is not None and hasattr(os, "register_at_fork"):
            self._on_fork = on_fork  # what is registered itself is never released
            own = weakref.ref(self)

            def in_child() -> None:
                if (tracing := own()) is not None:
                    tracing._on_fork()

            os.register_at_fork(after_in_child=in_child)
        # Another exporter may share its connection with the parent process, so a child does not shut it down.
        call_at_childs_end(self, self.flush if sdk_processor else self.shutdown, _FLUSH_SECONDS + _CLOSE_SECONDS)

    def flush(self, seconds: float = _FLUSH_SECONDS) -> bool:
        """Waits until all ended spans and written logs are sent; False if that takes longer."""
        if self._sdk_processor is not None:
            return self._sdk_processor.force_flush(int(seconds * 1000))
        # A list and not all(...), because each of them has to be flushed.
        return min([processor.flush(seconds) for processor in self._processors], default=True)

    def shutdown(self, seconds: float = _FLUSH_SECONDS) -> bool:
        """Sends what is left and stops, within `seconds` plus one to close connections. False if something was lost.

        Call it last, after everything that makes spans has stopped. A second call does nothing. A service calls it at
        the end of its SIGTERM path; otherwise the interpreter's exit calls it.
        """
        if self._stopped:
            return True
        self._stopped = True
        atexit.unregister(self.shutdown)
        results: list[bool] = []

        def end(part: "BatchProcessor[Any] | SpanProcessor") -> None:
            if isinstance(part, BatchProcessor):
                results.append(part.shutdown(seconds))
            else:
                part.shutdown()  # the SDK's, which has no time limit
                results.append(True)

        parts = (*self._processors, *([self._sdk_processor] if self._sdk_processor else []))
        # At the same time, because they share the time limit.
        threads = [threading.Thread(target=end, args=(part,), name="tracing-shutdown", daemon=True) for part in parts]
        for thread in threads:
            try:
                thread.start()
            except RuntimeError:  # the interpreter is shutting down, or there are no more threads
                thread.run()
        for thread in threads:
            if thread.ident is not None:
                thread.join(seconds + _CLOSE_SECONDS)
        return len(results) == len(threads) and all(results)


def start_tracing(
    settings: TracingSettings, *, exporter: "SpanExporter | None" = None, attribute_prefix: str = PREFIX
) -> Tracing:
    """Starts tracing. Never waits for the Collector, and never fails because of it.

    Args:
        settings: what is traced, and how it is exported.
        exporter: replaces OTLP; tests use one that keeps the spans.
        attribute_prefix: of the keys of attributes that are not standard, see `OwnAttributes`.
    """
    _warn(settings)
    compiled = native.load() if settings.native else None
    redactor = Redactor(
        settings.hash_key.get_secret_value() if settings.hash_key else None,
        compiled.is_harmless if compiled else None,
    )
    resource = _resource(settings)
    counts = SpanCounts()
    logs = _export_logs(settings, resource, redactor, compiled) if settings.exports_logs and exporter is None else None
    spans: _Export[RecordedSpan] | None = None
    sdk_processor: SpanProcessor | None = None
    on_end: Callable[[RecordedSpan], None] | None = None
    if settings.active and exporter is not None:
        sdk_processor = _sdk_batch_processor(exporter, settings)
        on_end = _through_sdk(sdk_processor, resource, redactor)
    elif settings.active:
        spans = _export_spans(settings, resource, redactor, compiled)
        on_end = spans.take
    parts = TracerParts(build_sampler(settings), _limits(settings), counts, on_end) if on_end else None
    log_limit = settings.of_logs.log_record_attribute_count_limit
    exports: list[_Export[Any]] = [export for export in (spans, logs) if export is not None]
    return Tracing(
        TraceManager(
            LeanTracer(_SCOPE, parts) if parts else NoOpTracer(),
            redactor,
            Propagator(settings.propagators, redactor, settings.carried_baggage, compiled),
            sampled_by_attributes=bool(settings.sampling_rules),
            methods=settings.http_known_methods or KNOWN_METHODS,
            own=OwnAttributes.below(attribute_prefix),
            native=compiled,
        ),
        resource=resource,
        tracer_parts=parts,
        statistics=Statistics(counts, [export.processor.statistics for export in exports]),
        protocols={"traces": _transport(settings), "logs": _transport(settings.of_logs)},
        processors=[export.processor for export in exports],
        sdk_processor=sdk_processor,
        log_handler=OtlpHandler(logs.take, log_limit) if logs else None,
        on_fork=(lambda: _describe_child(settings, resource, exports)) if exports else None,
    )


def _through_sdk(processor: "SpanProcessor", resource: Resource, redactor: Redactor) -> Callable[[RecordedSpan], None]:
    on_end = processor.on_end
    return lambda span: on_end(to_readable_span(span, resource, redactor))


@dataclass(frozen=True)
class _Export(Generic[Item]):
    """The export of one signal."""

    encoder: Encoder
    processor: BatchProcessor[Item]
    take: Callable[[Item], None]
    """For any thread: puts an item into the queue of the processor."""


def _export_spans(
    settings: TracingSettings, resource: Resource, redactor: Redactor, compiled: ModuleType | None
) -> _Export[RecordedSpan]:
    length = settings.attribute_value_length_limit
    encoder = SpanEncoder(resource, redactor, settings.filtered_attributes, length, compiled)
    exporter = _exporter(settings, "traces")
    processor = BatchProcessor("traces", settings, encoder, exporter)
    return _Export(encoder, processor, encoder.hand_over_to(processor.put))


def _export_logs(
    settings: TracingSettings, resource: Resource, redactor: Redactor, compiled: ModuleType | None
) -> _Export[LogEntry]:
    of_logs = settings.of_logs
    length = of_logs.attribute_value_length_limit
    encoder = LogEncoder(resource, redactor, settings.filtered_attributes, length, compiled)
    exporter = _exporter(of_logs, "logs")
    processor = BatchProcessor("logs", of_logs, encoder, exporter)
    return _Export(encoder, processor, processor.put)


def _transport(settings: TracingSettings) -> str:
    return settings.protocol.partition("/")[0]


def _exporter(settings: TracingSettings, signal: Signal) -> Exporter:
    if settings.protocol == "grpc":
        return OtlpExporter(settings, otlp_exporter.TRACES if signal == "traces" else otlp_exporter.LOGS)
    return OtlpHttpExporter(settings, signal)


def _limits(settings: TracingSettings) -> Limits:
    return Limits(
        attributes=settings.span_attribute_count_limit,
        events=settings.span_event_count_limit,
        value_length=settings.attribute_value_length_limit,
        links=settings.span_link_count_limit,
        event_attributes=settings.event_attribute_count_limit,
        link_attributes=settings.link_attribute_count_limit,
    )


def build_sampler(settings: TracingSettings) -> TraceSampler:
    """The sampler that the settings describe."""
    return TraceSampler(settings.root_ratio, settings.rules, parent_based=settings.sampler.startswith("parentbased_"))


def _warn(settings: TracingSettings) -> None:
    if settings.ignored:
        _logger.warning("set, but not supported and without effect: %s", ", ".join(settings.ignored))
    for name in settings.taken_as_false:
        _logger.warning("%s is set to neither true nor false, and counts as false", name)


def _resource(settings: TracingSettings) -> Resource:
    """Return the resource of all spans and logs of this process: its name, the environment's attributes, this library.

    Another implementation than OpenTelemetry's may not use the name `opentelemetry`, says the specification.
    """
    return Resource.create(
        {
            keys.TELEMETRY_SDK_NAME: __package__,
            keys.TELEMETRY_SDK_VERSION: VERSION,
            keys.TELEMETRY_DISTRO_NAME: NAME,
            keys.TELEMETRY_DISTRO_VERSION: VERSION,
            # Distinguishes replicas and restarts; Kubernetes sets the pod's name.
            keys.SERVICE_INSTANCE_ID: str(uuid.uuid4()),
            **settings.resource_attributes,
            keys.SERVICE_NAME: settings.service_name,
        },
        SCHEMA_URL,
    )


def _describe_child(settings: TracingSettings, resource: Resource, exports: Sequence[_Export[Any]]) -> None:
    """In a forked child: an instance id of its own, unless the environment sets one."""
    if keys.SERVICE_INSTANCE_ID in settings.resource_attributes:
        return
    own = resource.merge(Resource({keys.SERVICE_INSTANCE_ID: str(uuid.uuid4())}))
    for export in exports:
        export.encoder.describe(own)


def _sdk_batch_processor(exporter: "SpanExporter", settings: TracingSettings) -> "SpanProcessor":
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # imported late: see `to_readable_span`

    return BatchSpanProcessor(
        exporter,
        max_queue_size=settings.max_queue_size,
        schedule_delay_millis=settings.delay_ms,
        max_export_batch_size=settings.max_batch_size,
        export_timeout_millis=settings.timeout_ms,
    )
