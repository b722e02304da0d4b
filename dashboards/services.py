"""The dashboard *Services*: which hop is broken?"""

from typing import Final

from contracts import metrics, service_metrics
from contracts.hops import REQUEST
from contracts.metrics import DEPENDENCY, JOB, SERVICE, SPAN_KIND, SPAN_NAME
from contracts.services import GATEWAY
from dashboards import dashboard
from dashboards.config import MonitoringConfig
from dashboards.dashboard import IN_ENVIRONMENT, OF_SERVICE, Dashboard, Row
from dashboards.panels import (
    Column,
    Panel,
    Query,
    Thresholds,
    TraceSearch,
    logs,
    stat,
    table,
    timeseries,
    traces,
    with_exemplars,
)
from dashboards.queries import (
    ENTRY_SPAN,
    FAILED_SPAN,
    RATE_INTERVAL,
    SERVICE_JOBS,
    buckets,
    equals,
    quantile,
    rate,
    ratio,
    series,
)

_ENTRY: Final = (IN_ENVIRONMENT, OF_SERVICE, ENTRY_SPAN)
_ENTRIES: Final = series(metrics.SPAN_CALLS, *_ENTRY)
_FAILED_ENTRIES: Final = series(metrics.SPAN_CALLS, *_ENTRY, FAILED_SPAN)
_ENTRY_DURATION: Final = buckets(metrics.SPAN_DURATION, *_ENTRY)

_OPERATION: Final = (IN_ENVIRONMENT, OF_SERVICE, f'{SPAN_NAME}=~"$operation"')
_OPERATIONS: Final = series(metrics.SPAN_CALLS, *_OPERATION)
_FAILED_OPERATIONS: Final = series(metrics.SPAN_CALLS, *_OPERATION, FAILED_SPAN)
_OPERATION_DURATION: Final = buckets(metrics.SPAN_DURATION, *_OPERATION)


def _error_thresholds(config: MonitoringConfig) -> Thresholds:
    return Thresholds(config.objectives.error_ratio / 4, config.objectives.error_ratio)


def paging_alerts(_: MonitoringConfig) -> Panel:
    """Firing alerts that page someone."""
    return stat(
        "Paging alerts",
        "Alerts of severity `page` that are firing.",
        f"count({series(metrics.ALERTS, equals('alertstate', 'firing'), equals('severity', 'page'))}) or vector(0)",
        unit="short",
        thresholds=Thresholds(None, 1),
        width=3,
    )


def handled(_: MonitoringConfig) -> Panel:
    """Requests and messages per second."""
    return stat("Handled", "Requests and messages per second.", rate(_ENTRIES, RATE_INTERVAL), unit="reqps", width=3)


def error_ratio(config: MonitoringConfig) -> Panel:
    """Share of the requests and messages that failed."""
    return stat(
        "Error ratio",
        "Share of the requests and messages that failed.",
        ratio(_FAILED_ENTRIES, _ENTRIES, RATE_INTERVAL),
        unit="percentunit",
        thresholds=_error_thresholds(config),
        width=3,
    )


def p99(config: MonitoringConfig) -> Panel:
    """99th percentile of the duration of requests and messages."""
    limit = config.objectives.request_ms
    return stat(
        "p99 duration",
        "99 % of the requests and messages take at most this long.",
        quantile(0.99, _ENTRY_DURATION, RATE_INTERVAL),
        unit="ms",
        thresholds=Thresholds(limit / 2, limit),
        width=3,
    )


def pods_up(_: MonitoringConfig) -> Panel:
    """Pods of each service that Prometheus can scrape."""
    return stat(
        "Pods up",
        "Pods of each service that answer Prometheus.",
        Query(expr=f"sum by ({JOB}) ({series(metrics.UP, SERVICE_JOBS)})", legend="{{job}}"),
        unit="short",
        thresholds=Thresholds(None, 1, rising=False),
        width=5,
    )


def dependencies(_: MonitoringConfig) -> Panel:
    """Whether the services reach their dependencies."""
    return stat(
        "Dependencies",
        "1: at least one pod of the service reaches the dependency. 0: none does.",
        Query(
            expr=f"max by ({JOB}, {DEPENDENCY}) ({series(service_metrics.DEPENDENCY_UP, SERVICE_JOBS)})",
            legend="{{job}} → {{dependency}}",
        ),
        unit="short",
        thresholds=Thresholds(None, 1, rising=False),
        width=7,
    )


def error_ratio_by_service(config: MonitoringConfig) -> Panel:
    """Share of each service's requests and messages that failed."""
    return timeseries(
        "Error ratio, by service",
        "Share of the requests and messages that failed. Above the dashed line an alert pages someone.",
        [Query(expr=ratio(_FAILED_ENTRIES, _ENTRIES, RATE_INTERVAL, SERVICE), legend="{{service_name}}")],
        unit="percentunit",
        thresholds=_error_thresholds(config),
    )


def p99_by_service(config: MonitoringConfig) -> Panel:
    """99th percentile of the duration of each service's requests and messages."""
    p99 = Query(expr=quantile(0.99, _ENTRY_DURATION, RATE_INTERVAL, SERVICE), legend="{{service_name}}")
    return timeseries(
        "p99 duration, by service",
        "99 % of the requests and messages take at most this long. Click a dot to open its trace.",
        with_exemplars(config, p99, *_ENTRY),
        unit="ms",
        thresholds=Thresholds(None, config.objectives.request_ms),
    )


def operations(config: MonitoringConfig) -> Panel:
    """Every operation with its error ratio, rate and duration."""
    by = {SERVICE: "Service", SPAN_KIND: "Kind", SPAN_NAME: "Operation"}
    failed = ratio(_FAILED_OPERATIONS, _OPERATIONS, "5m", *by)
    return table(
        "Operations",
        "All operations (span names) of the last 5 minutes. The highest error ratio comes first.",
        [
            Column(title="Error ratio", query=failed, unit="percentunit", thresholds=_error_thresholds(config)),
            Column(title="Rate", query=f"{rate(_OPERATIONS, '5m', *by)} > 0", unit="reqps"),
            Column(title="p95", query=quantile(0.95, _OPERATION_DURATION, "5m", *by), unit="ms"),
        ],
        by=by,
        height=10,
    )


def rate_by_operation(_: MonitoringConfig) -> Panel:
    """Spans per second of each operation."""
    expr = rate(_OPERATIONS, RATE_INTERVAL, SERVICE, SPAN_NAME)
    return timeseries(
        "Rate, by operation",
        "Spans per second.",
        [Query(expr=expr, legend="{{service_name}} {{span_name}}")],
        unit="reqps",
    )


def p95_by_operation(config: MonitoringConfig) -> Panel:
    """95th percentile of the duration of each operation."""
    expr = quantile(0.95, _OPERATION_DURATION, RATE_INTERVAL, SERVICE, SPAN_NAME)
    return timeseries(
        "p95 duration, by operation",
        "95 % of the spans take at most this long. Click a dot to open its trace.",
        with_exemplars(config, Query(expr=expr, legend="{{service_name}} {{span_name}}"), *_OPERATION),
        unit="ms",
    )


def firing_alerts(config: MonitoringConfig) -> Panel | None:
    """Alerts that fire now."""
    if not config.alerting:
        return None
    by = {"severity": "Severity", "alertname": "Alert", "service": "Service"}
    firing = series(metrics.ALERTS, equals("alertstate", "firing"), 'severity!="none"')
    return table(
        "Firing alerts",
        "Alerts that fire now, and the service that each is about.",
        [Column(title="Alerts", query=f"count by ({', '.join(by)}) ({firing})", unit="short")],
        by=by,
        normally_empty="no alert fires.",
        width=12,
    )


def notifications(config: MonitoringConfig) -> Panel | None:
    """Alerts by state, and the notifications that Alertmanager sent."""
    if not config.alerting:
        return None

    def sent(counter: str) -> str:
        return f"sum by (receiver_name, integration) (increase({counter}[5m]))"

    return timeseries(
        "Alerts and notifications",
        "Alerts in Alertmanager, by state (`suppressed`: silenced or inhibited), and notifications of the last"
        " 5 minutes.",
        [
            Query(expr=f"sum by (state) ({metrics.ALERTMANAGER_ALERTS})", legend="{{state}}"),
            Query(expr=sent(metrics.NOTIFICATIONS), legend="sent to {{receiver_name}} by {{integration}}"),
            Query(expr=sent(metrics.FAILED_NOTIFICATIONS), legend="not sent to {{receiver_name}} by {{integration}}"),
        ],
        unit="short",
    )


def failed_traces(config: MonitoringConfig) -> Panel:
    """Traces with a failed span of the gateway."""
    return traces(
        config,
        "Failed traces",
        "Traces in which a span of the gateway failed. The red spans of a trace show the cause.",
        TraceSearch(service=GATEWAY, failed=True),
        normally_empty="no request failed.",
        width=12,
    )


def latest_traces(config: MonitoringConfig) -> Panel:
    """Traces of new tasks."""
    return traces(
        config,
        "Latest traces",
        "Traces of requests that create a task.",
        TraceSearch(service=GATEWAY, operation=REQUEST.name),
        width=12,
    )


def warnings_and_errors(config: MonitoringConfig) -> Panel | None:
    """Log lines of level warning and above."""
    return logs(
        config,
        "Warnings and errors",
        "Log lines of the services. Each has a link to its trace.",
        '{service_name=~"$service"} | severity_text=~"WARN|WARNING|ERROR|CRITICAL|FATAL"',
        normally_empty="no service logged a warning or an error.",
    )


DASHBOARD: Final = Dashboard(
    uid="services",
    title="Services",
    question="Which hop is broken? The symptoms are at the top, the causes further down.",
    variables=(dashboard.SERVICE, dashboard.OPERATION),
    rows=(
        Row("Now", (paging_alerts, handled, error_ratio, p99, pods_up, dependencies)),
        Row("By service", (error_ratio_by_service, p99_by_service, operations)),
        Row("Rate and duration", (rate_by_operation, p95_by_operation)),
        Row("Alerts and notifications", (firing_alerts, notifications)),
        Row("Traces and logs", (failed_traces, latest_traces, warnings_and_errors)),
    ),
)
