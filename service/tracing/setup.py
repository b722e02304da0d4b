"""Starts and stops tracing for one service. Nothing global is set: two services fit in one process."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import uuid
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NoOpTracer

from service.tracing import attributes as keys
from service.tracing import otlp_exporter
from service.tracing.batch_processor import BatchProcessor
from service.tracing.cardinality import KNOWN_METHODS
from service.tracing.children import call_at_childs_end
from service.tracing.log_encoder import LogEncoder, LogEntry
from service.tracing.logs import OtlpHandler
from service.tracing.otlp_exporter import OtlpExporter
from service.tracing.propagation import Propagator
from service.tracing.readable_span import to_readable_span
from service.tracing.redaction import Redactor
from service.tracing.sampling import TraceSampler
from service.tracing.settings import TracingSettings
from service.tracing.span import Limits, RecordedSpan
from service.tracing.span_encoder import SpanEncoder
from service.tracing.spans import TraceManager
from service.tracing.statistics import SpanCounts, Statistics
from service.tracing.tracer import LeanTracer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

# Well inside a pod's 30 s grace period, which the rest of the shutdown shares.
_FLUSH_SECONDS = 5.0
_logger = logging.getLogger(__name__)


class Tracing:
    """What a service holds of its tracing.

    `traces` makes spans, `statistics` is a Prometheus collector, `log_handler` sends logs as OTLP (None where they are
    not), `flush` and `shutdown` send what is left.
    """

    def __init__(
        self,
        traces: TraceManager,
        *,
        statistics: Statistics,
        processors: Sequence[BatchProcessor[RecordedSpan] | BatchProcessor[LogEntry]] = (),
        handed_in: SpanProcessor | None = None,
        log_handler: logging.Handler | None = None,
        forked: Callable[[], None] | None = None,
    ) -> None:
        """handed_in: the processor of an exporter that replaces OTLP. forked: called in each forked child."""
        self.traces = traces
        self.redactor = traces.redactor
        self.statistics = statistics
        self.log_handler = log_handler
        self._processors = processors
        self._handed_in = handed_in
        self._stopped = False
        atexit.register(self.shutdown)
        if forked is not None and hasattr(os, "register_at_fork"):
            self._forked = forked  # what is registered at fork is never let go
            own = weakref.ref(self)

            def in_child() -> None:
                if (tracing := own()) is not None:
                    tracing._forked()

            os.register_at_fork(after_in_child=in_child)
        # An exporter that was handed in may share its connection with the parent process: it is not shut down.
        call_at_childs_end(self, self.flush if handed_in else self.shutdown, _FLUSH_SECONDS + 1.5)

    def flush(self, seconds: float = _FLUSH_SECONDS) -> bool:
        """Waits until all ended spans and written logs are sent; False when time ran out."""
        if self._handed_in is not None:
            return self._handed_in.force_flush(int(seconds * 1000))
        # Not all(...): each of them is to be asked.
        return min([processor.flush(seconds) for processor in self._processors], default=True)

    def shutdown(self, seconds: float = _FLUSH_SECONDS) -> bool:
        """Sends what is left and stops; at most `seconds` plus one more to let go. False if something was lost.

        Call it last, after what makes spans has stopped; calling it again does nothing. In a service that is the end of
        the SIGTERM path; otherwise the interpreter's exit calls it.
        """
        if self._stopped:
            return True
        self._stopped = True
        atexit.unregister(self.shutdown)
        # Beside each other: they share the time.
        results: list[bool] = []

        def end(part: BatchProcessor[RecordedSpan] | BatchProcessor[LogEntry] | SpanProcessor) -> None:
            if isinstance(part, BatchProcessor):
                results.append(part.shutdown(seconds))
            else:
                part.shutdown()  # the SDK's, which waits as long as it likes
                results.append(True)

        parts = (*self._processors, *([self._handed_in] if self._handed_in else []))
        threads = [threading.Thread(target=end, args=(part,), name="tracing-shutdown", daemon=True) for part in parts]
        for thread in threads:
            try:
                thread.start()
            except RuntimeError:  # the interpreter is shutting down, or there are no threads left
                thread.run()
        for thread in threads:
            if thread.ident is not None:
                thread.join(seconds + 1.5)
        return len(results) == len(threads) and all(results)


def start_tracing(settings: TracingSettings, *, exporter: SpanExporter | None = None) -> Tracing:
    """Starts tracing as `settings` say; `exporter` replaces OTLP over gRPC (tests hand in one that keeps spans).

    Never waits for the Collector and never fails because of it.
    """
    redactor = Redactor(settings.hash_key.get_secret_value() if settings.hash_key else None)
    propagator = Propagator(settings.propagators)
    methods = settings.http_known_methods or KNOWN_METHODS
    resource = _resource(settings)
    encoders: list[SpanEncoder | LogEncoder] = []
    counts = SpanCounts()
    logs: BatchProcessor[LogEntry] | None = None
    handler: logging.Handler | None = None

    def forked() -> None:
        if keys.SERVICE_INSTANCE_ID in settings.resource_attributes:
            return
        own = resource.merge(Resource({keys.SERVICE_INSTANCE_ID: str(uuid.uuid4())}))
        for encoder in encoders:
            encoder.describe(own)

    if settings.ignored:
        _logger.warning("set, but not supported and without effect: %s", ", ".join(settings.ignored))
    for name in settings.taken_as_false:
        _logger.warning("%s is set to neither true nor false, and counts as false", name)
    if settings.logs_exporter == "otlp" and not settings.sdk_disabled and exporter is None:
        of_logs = settings.of_logs
        encode = LogEncoder(resource, redactor, settings.filtered_attributes, of_logs.attribute_value_length_limit)
        encoders.append(encode)
        logs = BatchProcessor("logs", of_logs, encode, OtlpExporter(of_logs, otlp_exporter.LOGS))
        handler = OtlpHandler(logs.put, of_logs.log_record_attribute_count_limit)
    if not settings.active:
        return Tracing(
            TraceManager(NoOpTracer(), redactor, propagator, methods=methods),
            statistics=Statistics(counts, [logs.statistics] if logs else []),
            processors=[logs] if logs else [],
            log_handler=handler,
            forked=forked,
        )
    limits = Limits(
        settings.span_attribute_count_limit,
        settings.span_event_count_limit,
        settings.attribute_value_length_limit,
        settings.span_link_count_limit,
        settings.event_attribute_count_limit,
        settings.link_attribute_count_limit,
    )

    def manager(ended: Callable[[RecordedSpan], None]) -> TraceManager:
        tracer = LeanTracer("service.tracing", build_sampler(settings), limits, counts, ended)
        return TraceManager(
            tracer,
            redactor,
            propagator,
            sampled_by_attributes=bool(settings.sampling_rules),
            methods=methods,
        )

    if exporter is not None:
        processor = _batching(exporter, settings)
        return Tracing(
            manager(lambda span: processor.on_end(to_readable_span(span, resource, redactor))),
            statistics=Statistics(counts, []),
            handed_in=processor,
        )
    encode_spans = SpanEncoder(resource, redactor, settings.filtered_attributes, limits.value_length)
    encoders.append(encode_spans)
    spans: BatchProcessor[RecordedSpan] = BatchProcessor(
        "traces", settings, encode_spans, OtlpExporter(settings, otlp_exporter.TRACES)
    )
    return Tracing(
        manager(spans.put),
        statistics=Statistics(counts, [spans.statistics, *([logs.statistics] if logs else [])]),
        processors=[spans, logs] if logs else [spans],
        log_handler=handler,
        forked=forked,
    )


def build_sampler(settings: TracingSettings) -> TraceSampler:
    """The sampler that `settings` ask for."""
    return TraceSampler(settings.root_ratio, settings.rules, parent_based=settings.sampler.startswith("parentbased_"))


def _resource(settings: TracingSettings) -> Resource:
    """What all spans and logs of this process share: its name, what the environment says of it, the SDK."""
    return Resource.create(
        {
            # Replicas and restarts are told apart by it; Kubernetes sets the pod's name.
            keys.SERVICE_INSTANCE_ID: str(uuid.uuid4()),
            **settings.resource_attributes,
            keys.SERVICE_NAME: settings.service_name,
        }
    )


def _batching(exporter: SpanExporter, settings: TracingSettings) -> SpanProcessor:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # late: see `to_readable_span`

    return BatchSpanProcessor(
        exporter,
        max_queue_size=settings.max_queue_size,
        schedule_delay_millis=settings.delay_ms,
        max_export_batch_size=settings.max_batch_size,
        export_timeout_millis=settings.timeout_ms,
    )
