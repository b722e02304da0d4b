"""Alerts on the exporters inside the services."""

from typing import Final

from contracts import endpoints, metrics
from contracts.metrics import JOB
from dashboards.config import MonitoringConfig
from dashboards.queries import TRACES, equals, exact_increase, ratio, series
from dashboards.rules.model import AlertRule, RuleGroup

_REQUESTS: Final = series(metrics.EXPORT_REQUESTS, TRACES)
_FAILED: Final = series(metrics.EXPORT_REQUESTS, TRACES, 'code!="ok"')
_REFUSED: Final = series(metrics.SPANS_REFUSED, TRACES)
_BUFFERED: Final = series(metrics.BUFFER_BYTES, TRACES)


def export(config: MonitoringConfig) -> RuleGroup:
    """Return the alerts on the services' exporters, and on the metrics that are made of their spans."""
    of_services = (_export_fails(), _breaker_open(), _buffer_fills()) if config.services else ()
    return RuleGroup(name="export", rules=(*of_services, _span_metrics_missing()))


def _export_fails() -> AlertRule:
    # When a Collector restarts, a few requests fail. The exporter recovers before an on-call engineer could act.
    not_recovered = f"sum by ({JOB}) ({_BUFFERED}) > 0 or {exact_increase(_REFUSED, '1m', JOB)} > 0"
    return AlertRule(
        name="ExportFails",
        query=f"{ratio(_FAILED, _REQUESTS, '1m', JOB)} > 0.01"
        f" and on ({JOB}) {exact_increase(_FAILED, '1m', JOB)} >= 2 and on ({JOB}) ({not_recovered})",
        for_="15s",
        # A Collector that restarts again and again accepts spans in between.
        keep_firing_for="1m",
        severity="page",
        summary="{{ $value | humanizePercentage }} of the export requests of {{ $labels.job }} fail",
        description="The spans wait in the process, until they fill tracing.bufferBytes.",
        dashboard="tracing-pipeline",
    )


def _breaker_open() -> AlertRule:
    return AlertRule(
        name="BreakerOpen",
        query=f"max by ({JOB}) ({series(metrics.BREAKER_STATE, TRACES)}) > 0",
        for_="30s",
        severity="ticket",
        summary="{{ $labels.job }} has stopped exporting spans",
        description="Its circuit breaker is open: the Collectors fail, so it only tries a request from time to time.",
        dashboard="tracing-pipeline",
    )


def _buffer_fills() -> AlertRule:
    return AlertRule(
        name="BufferFills",
        query=f"{_BUFFERED} > 0.5 * {series(metrics.BUFFER_CAPACITY, TRACES)}",
        for_="15s",
        severity="page",
        summary="{{ $labels.instance }} ({{ $labels.job }}) will soon lose spans",
        description="Spans of {{ $value | humanize1024 }}B wait for a Collector. A full buffer drops the oldest spans.",
        dashboard="tracing-pipeline",
    )


def _span_metrics_missing() -> AlertRule:
    return AlertRule(
        name="SpanMetricsMissing",
        query=f"sum(rate({series(metrics.ACCEPTED_SPANS, equals(JOB, endpoints.COLLECTOR))}[2m])) > 1"
        f" unless on () sum(rate({metrics.SPAN_CALLS}[2m])) > 0",
        for_="1m",
        severity="page",
        summary="The Collectors accept spans, but make no metrics of them",
        description="Rates, errors and durations on the dashboards are missing.",
        dashboard="tracing-pipeline",
        service=endpoints.COLLECTOR,
    )
