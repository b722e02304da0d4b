"""Faults of exporters, Collectors, samplers and stores, and the alerts that they raise."""

from collections.abc import Mapping
from typing import Final

from tests.support.alert_cases.faults import (
    ACCEPTED,
    EXPORTED,
    READ,
    SENT,
    STORED,
    Case,
    case,
    for_seconds,
    lost_before,
    stopped,
    unsent,
)
from tests.support.alert_cases.metrics import (
    FAULT,
    PROOFS,
    SPANS,
    Change,
    add,
    change,
    constant,
    counted,
    counter,
    gone,
    replace,
    since,
    stops,
    then,
)
from tests.support.promtool import Value


def _ends(name: str) -> Change:
    """Return the fault: these counters no longer grow."""
    return change(name, stops)


def _fails(step: str, failures: Value) -> tuple[Change, ...]:
    """Return the fault: a step of the probe fails, and its proofs are incomplete."""
    return (
        replace(("telemetry_probe_steps_total", f'step="{step}",result="failed"'), failures),
        replace(("telemetry_probe_proofs_total", 'result="incomplete"'), failures),
        _ends('telemetry_probe_proofs_total{job="probe",instance="probe-0",result="complete"}'),
        _ends("telemetry_probe_complete_seconds"),
    )


def _not_served(failures: Value) -> tuple[Change, ...]:
    """Return the fault: requests of the probe do not reach the gateway."""
    return (
        _ends('telemetry_probe_proofs_total{job="probe",instance="probe-0",result="complete"}'),
        _ends("telemetry_probe_complete_seconds"),
        replace(("telemetry_probe_proofs_total", 'result="no_task"'), failures),
        replace(("telemetry_probe_steps_total", 'step="request",result="failed"'), failures),
    )


def _certificate(*, begins: float, ends: float) -> tuple[Change, ...]:
    """Return the fault: a certificate has these times, in s."""
    return (
        replace(("stack_certificate_start_timestamp_seconds", 'server="kafka"'), constant(begins)),
        replace(("stack_certificate_end_timestamp_seconds", 'server="kafka"'), constant(ends)),
    )


_OUTDATED: Final = "DashboardsOutdated"

CASES: Final[Mapping[str, Case]] = {
    # --- the services' exports
    "a Collector restarts within seconds": case(
        add({'tracing_export_requests_total{job="gateway",signal="traces",code="unavailable"}': for_seconds(5, 1)}),
        change(("tracing_buffer_bytes", "gateway"), lambda _: lambda now: 1000.0 if FAULT < now <= FAULT + 10 else 0.0),
        after_15="",
        after_30="",
        after_60="",
    ),
    "the token is wrong": case(
        add({'tracing_export_requests_total{job="gateway",signal="traces",code="unauthenticated"}': since(1)}),
        add({'tracing_items_refused_total{job="gateway",signal="traces",reason="unauthenticated"}': since(100)}),
        after_45="ExportFails",
    ),
    "exports fail": case(
        change(("tracing_export_requests_total", "gateway"), lambda _: counted(1, 0)),
        add({'tracing_export_requests_total{job="gateway",signal="traces",code="unavailable"}': since(1)}),
        replace(("tracing_buffer_bytes", "gateway"), since(1000)),
        after_45="ExportFails",
    ),
    "one export in two hundred fails": case(
        change(("tracing_export_requests_total", "gateway"), lambda _: counter(10)),
        add({'tracing_export_requests_total{job="gateway",signal="traces",code="unavailable"}': since(0.05)}),
        after_300="",
    ),
    "the breaker is open": case(replace(("breaker_state", "gateway"), constant(2)), after_45="BreakerOpen"),
    "no Collector runs": case(
        stopped("collector"),
        stopped("span-metrics"),
        change("traces_span_metrics", gone),
        *(change(part, stops) for part in (STORED, EXPORTED)),
        change("tracing_export_requests_total", stops),
        add(
            {
                f'tracing_export_requests_total{{job="{job}",signal="traces",code="unavailable"}}': since(0.5)
                for job in ("gateway", "task-manager", "web-crawler")
            }
        ),
        # A third of the spans, of 1.5 kB each.
        replace("tracing_buffer_bytes", lambda now: (now - FAULT) * SPANS / 3 * 1500),
        replace("tracing_breaker_state", constant(2)),
        replace("tracing_breaker_opened_total", constant(1)),
        after_45="BreakerOpen CollectorDown ExportFails",
        after_210="BreakerOpen BufferFills CollectorDown ExportFails MetricsMissing",
    ),
    "a buffer fills": case(replace(("tracing_buffer_bytes", "gateway"), constant(9e6)), after_45="BufferFills"),
    "no metrics are made of the spans": case(change("traces_span_metrics", gone), after_240="SpanMetricsMissing"),
    "the span metrics have more samples than a scrape may have": case(
        replace(("scrape_samples_post_metric_relabeling", "span-metrics"), constant(2100)),
        replace(("up{", "span-metrics"), constant(0)),
        change("traces_span_metrics", gone),
        after_240="SamplesNearLimit SpanMetricsMissing",
    ),
    # --- the probe
    "one proof in an hour is incomplete": case(*_fails("search", for_seconds(60, PROOFS)), after_180="", after_900=""),
    "traces cannot be searched": case(
        *_fails("search", since(PROOFS)),
        after_45="",
        after_150="TelemetryIncomplete",
        # The budget of an hour is used up.
        after_900="TelemetryIncomplete ErrorBudgetBurns",
    ),
    "the probe's requests fail": case(
        *_not_served(since(PROOFS)),
        after_60="",
        after_180="ProbeRequestsFail",
        after_900="ProbeRequestsFail",
        # Nothing is known of the telemetry, and the users' requests succeed.
        after_1500="ProbeRequestsFail",
    ),
    "two of the probe's requests fail": case(*_not_served(for_seconds(120, PROOFS)), after_180="", after_900=""),
    "one in ten of the probe's requests fails": case(
        *_not_served(since(PROOFS / 10)), after_900="", after_1500="ProbeRequestsFail"
    ),
    "the probe stops": case(stopped("probe"), after_300="", after_1200="ProbeSilent"),
    "the probe hangs": case(_ends("telemetry_probe_"), after_300="", after_1200="ProbeSilent"),
    # --- certificates
    "a certificate is not renewed": case(
        *_certificate(begins=-377 * 86_400, ends=20 * 86_400), after_300="", after_1500="CertificateEnds"
    ),
    "a certificate for a day is not renewed": case(
        *_certificate(begins=-20 * 3600, ends=4 * 3600), after_300="", after_1500="CertificateEnds"
    ),
    "certificates are for a day": case(*_certificate(begins=-14 * 3600, ends=10 * 3600), after_300="", after_1500=""),
    # --- the publisher
    "Grafana refuses the dashboards": case(
        change("grafana_publisher_success", stops), stack="with own services", after_900="", after_1500=_OUTDATED
    ),
    "the publisher does not run": case(
        stopped("grafana-publisher"), stack="with own services", after_240="", after_900=_OUTDATED
    ),
    # --- span accounting
    "spans are lost in a service": case(*lost_before(EXPORTED), after_300="", after_1500="SpansMissing"),
    "spans are lost before the Collectors": case(*lost_before(ACCEPTED), after_1500="SpansMissing"),
    "spans are lost in a Collector": case(*lost_before(SENT), after_1500="SpansMissing"),
    "spans are lost in the store": case(*lost_before(STORED), after_1500="SpansMissing"),
    "spans are dropped and counted as dropped": case(
        *lost_before(EXPORTED),
        add(
            {
                f'tracing_items_dropped_total{{job="{job}",signal="traces",reason="queue_full"}}': since(SPANS / 30)
                for job in ("gateway", "task-manager", "web-crawler")
            }
        ),
        after_240="",
        after_360="SpansDropped",
        after_1500="SpansDropped",
    ),
    "the store accepts nothing": case(*unsent(1.0), after_90="CollectorQueueStuck"),
    "the store accepts half": case(
        *unsent(0.5),
        change(('queue_capacity{job="collector"', "traces"), lambda _: constant(60_000)),
        after_840="",
        after_930="CollectorQueueFills",
    ),
    "a Collector refuses": case(
        replace('receiver_refused_spans_total{job="collector"', since(5)),
        # Its memory limiter refuses them: the limit of the container is 512 MiB.
        replace(("heap_alloc", "collector"), constant(340e6)),
        after_240="",
        after_360="CollectorRefuses",
    ),
    "the store refuses a request for good": case(
        add(
            {
                'otelcol_exporter_send_failed_spans_total{job="collector",instance="collector-0",'
                'exporter="otlp_grpc/traces",error_permanent="true",error_type="InvalidArgument"}': constant(100)
            }
        ),
        after_15="ExportRefused",
        after_400="",
    ),
    "the log store refuses lines that are too old": case(
        add(
            {
                'otelcol_exporter_send_failed_log_records_total{job="collector",instance="collector-0",'
                'exporter="otlp_http/logs",error_permanent="true",error_type="400"}': since(1)
            }
        ),
        after_60="ExportRefused",
    ),
    "a damaged queue file is quarantined": case(
        add(
            {
                'collector_queue_files_set_aside_total{instance="a",queue="exporter_otlp_grpc_traces_traces"}': (
                    constant(1)
                ),
                'collector_queue_items_lost_total{instance="a",queue="exporter_otlp_grpc_traces_traces"}': (
                    constant(5000)
                ),
                'collector_queue_files_set_aside_total{instance="a",queue="exporter_otlp_http_logs_logs"}': constant(0),
                'collector_queue_items_lost_total{instance="a",queue="exporter_otlp_http_logs_logs"}': constant(0),
            }
        ),
        after_15="QueueSetAside",
        after_840="QueueSetAside",
        # It is notified once.
        after_1200="",
    ),
    "a damaged, empty queue file is quarantined": case(
        add({'collector_queue_files_set_aside_total{instance="a",queue="exporter_otlp_http_logs_logs"}': constant(1)}),
        add({'collector_queue_items_lost_total{instance="a",queue="exporter_otlp_http_logs_logs"}': constant(0)}),
        after_15="QueueSetAside",
    ),
    "the volume of a Collector's queue is full": case(
        add(
            {
                'collector_queue_volume_full{instance="collector-0",job="queue-guard"}': constant(1),
                'collector_queue_paused{instance="collector-0",job="queue-guard"}': constant(1),
            }
        ),
        after_15="CollectorVolumeFull",
    ),
    "the volume of a Collector's queue has room": case(
        add({'collector_queue_volume_full{instance="collector-0",job="queue-guard"}': constant(0)}), after_15=""
    ),
    "a Collector is down": case(
        replace(("up{", 'job="collector"'), constant(0)), after_15="", after_45="CollectorDown"
    ),
    "a Collector restarted": case(
        change(ACCEPTED, lambda value: then(value, lambda now: (now - FAULT) * SPANS)),
        change(SENT, lambda value: then(value, lambda now: (now - FAULT) * SPANS)),
        replace('uptime_seconds_total{job="collector"', lambda seconds: seconds - FAULT),
        after_300="",
        after_1500="",
    ),
    "spans are lost in Kafka": case(
        change(READ, lambda _: counted(SPANS, SPANS / 2)),
        change('exporter_sent_spans_total{job="sampler"', lambda _: counter(SPANS / 10)),
        stack="with samplers",
        after_1500="SpansMissing",
    ),
    "samplers are too slow": case(
        change(READ, lambda _: counted(SPANS, SPANS / 2)),
        replace("offset_lag", lambda seconds: (seconds - FAULT) * 5),
        replace(("process_cpu", "sampler"), lambda now: 0.1 * FAULT + 0.5 * (now - FAULT)),
        stack="with samplers",
        after_840="SamplerBehind",
    ),
    "samplers have no free memory": case(
        replace("sampling_trace_dropped_too_early", since(5)), stack="with samplers", after_150="SamplerDropsTraces"
    ),
}
