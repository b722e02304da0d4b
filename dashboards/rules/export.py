"""The services' side of the tracing pipeline: does what they export get out of them."""

from contracts import endpoints
from dashboards.queries import grown, share
from dashboards.rules.model import AlertRule, RuleGroup

_REQUESTS = 'tracing_export_requests_total{signal="traces"}'
_FAILED = 'tracing_export_requests_total{signal="traces",code!="ok"}'
_REFUSED = 'tracing_items_refused_total{signal="traces"}'
# A Collector that restarts within seconds fails a few requests, and all is over before somebody could look.
_STILL = f"sum by (job) (tracing_buffer_bytes{{signal='traces'}}) > 0 or {grown(_REFUSED, '1m', 'job')} > 0"


def export() -> tuple[RuleGroup, ...]:
    """Alerts on the exporters inside the services."""
    return (
        RuleGroup(
            name="export",
            rules=(
                AlertRule(
                    name="ExportFails",
                    query=f"{share(_FAILED, _REQUESTS, '1m', 'job')} > 0.01"
                    f" and on (job) {grown(_FAILED, '1m', 'job')} >= 2 and on (job) ({_STILL})",
                    for_="15s",
                    severity="page",
                    summary="{{ $labels.job }} cannot export {{ $value | humanizePercentage }} of its spans",
                    description="What could not be exported waits in the process, up to tracing.bufferBytes.",
                    dashboard="tracing",
                ),
                AlertRule(
                    name="BreakerOpen",
                    query='max by (job) (tracing_breaker_state{signal="traces"}) > 0',
                    for_="30s",
                    severity="ticket",
                    summary="{{ $labels.job }} has stopped to export",
                    description="Its circuit breaker is open: the Collectors fail, and are asked now and then only.",
                    dashboard="tracing",
                ),
                AlertRule(
                    name="BufferFills",
                    query='tracing_buffer_bytes{signal="traces"}'
                    ' > 0.5 * tracing_buffer_capacity_bytes{signal="traces"}',
                    for_="15s",
                    severity="page",
                    summary="{{ $labels.instance }} ({{ $labels.job }}) will soon lose spans",
                    description="{{ $value | humanize1024 }}B wait for a Collector; when it is full the oldest go.",
                    dashboard="tracing",
                ),
                AlertRule(
                    name="SpanMetricsMissing",
                    query='sum(rate(tracing_items_exported_total{signal="traces"}[2m])) > 1'
                    " unless on () sum(rate(traces_span_metrics_calls_total[2m])) > 0",
                    for_="1m",
                    severity="page",
                    service=endpoints.COLLECTOR,
                    summary="Spans are exported, and no metric is made of them",
                    description="Rates, errors and durations on the dashboards stand still.",
                    dashboard="tracing",
                ),
            ),
        ),
    )
