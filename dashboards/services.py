"""The dashboard *Services*: which hop is broken?"""

from typing import Final

from contracts import metrics, service_metrics
from contracts.metrics import DEPENDENCY, JOB, SERVICE, SPAN_KIND, SPAN_NAME
from contracts.services import GATEWAY
from dashboards import dashboard
from dashboards.config import MonitoringConfig
from dashboards.dashboard import OF_SERVICE, Dashboard, Row, of_services
from dashboards.links import SERVICES, drilldown, failed_spans
from dashboards.panels import (
    Column,
    Panel,
    Query,
    Thresholds,
    TraceSearch,
    Word,
    about_dots,
    logs,
    per_second,
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
    counted,
    equals,
    quantile,
    rate,
    ratio,
    series,
)
from dashboards.rules.dependencies import FAILED

_ENTRY: Final = (OF_SERVICE, ENTRY_SPAN)
_ENTRIES: Final = series(metrics.SPAN_CALLS, *_ENTRY)
_FAILED_ENTRIES: Final = series(metrics.SPAN_CALLS, *_ENTRY, FAILED_SPAN)
_ENTRY_DURATION: Final = buckets(metrics.SPAN_DURATION, *_ENTRY)

_OPERATIONS: Final = series(metrics.SPAN_CALLS, OF_SERVICE)
_FAILED_OPERATIONS: Final = series(metrics.SPAN_CALLS, OF_SERVICE, *FAILED)
_OPERATION_DURATION: Final = buckets(metrics.SPAN_DURATION, OF_SERVICE)

_KINDS: Final = ("server", "client", "producer", "consumer", "internal")

_OF_JOB: Final = f'{JOB}=~"$service"'
_OF_ALERT: Final = 'service=~"$service"'


def _error_thresholds(config: MonitoringConfig) -> Thresholds:
    return Thresholds(config.objectives.error_ratio / 4, config.objectives.error_ratio)


def paging_alerts(_: MonitoringConfig) -> Panel:
    """Firing alerts of severity `page`."""
    return stat(
        "Paging alerts",
        "Alerts of severity `page` that are firing.",
        f"count({series(metrics.ALERTS, equals('alertstate', 'firing'), equals('severity', 'page'), _OF_ALERT)})"
        " or vector(0)",
        unit="short",
        thresholds=Thresholds(None, 1),
    )


def handled(_: MonitoringConfig) -> Panel:
    """Requests and messages per second."""
    return stat(
        "Requests and messages",
        "Requests and messages that the services handle per second.",
        rate(_ENTRIES, RATE_INTERVAL),
        unit=per_second(""),
        width=5,
    )


def error_ratio(config: MonitoringConfig) -> Panel:
    """Share of the requests and messages that failed."""
    return stat(
        "Error ratio",
        "Share of the requests and messages that failed.",
        ratio(_FAILED_ENTRIES, _ENTRIES, RATE_INTERVAL),
        unit="percentunit",
        thresholds=_error_thresholds(config),
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
    )


@of_services
def pods_up(_: MonitoringConfig) -> Panel:
    """Pods of each service that Prometheus can scrape."""
    return stat(
        "Pods up",
        "Pods of each service that answer Prometheus.",
        Query(expr=counted(series(metrics.UP, SERVICE_JOBS, _OF_JOB), JOB), legend="{{job}}"),
        unit="short",
        thresholds=Thresholds(None, 1, rising=False),
        width=7,
    )


@of_services
def dependencies(_: MonitoringConfig) -> Panel:
    """Whether the services reach their dependencies."""
    return stat(
        "Dependencies",
        "Whether at least one pod of the service reaches the dependency.",
        Query(
            expr=f"max by ({JOB}, {DEPENDENCY}) ({series(service_metrics.DEPENDENCY_UP, SERVICE_JOBS, _OF_JOB)})",
            legend="{{job}} → {{dependency}}",
        ),
        unit="short",
        thresholds=Thresholds(None, 1, rising=False),
        values={"0": "unreachable", "1": "reachable"},
        width=24,
        height=3,
    )


def error_ratio_by_service(config: MonitoringConfig) -> Panel:
    """Share of each service's requests and messages that failed."""
    return timeseries(
        "Error ratio, by service",
        "Share of the requests and messages that failed. Above the dashed line an alert pages the engineer on call. A"
        " page that cannot be fetched is no failure of the crawler: see the dashboard Tasks.",
        [Query(expr=ratio(_FAILED_ENTRIES, _ENTRIES, RATE_INTERVAL, SERVICE), legend="{{service_name}}")],
        unit="percentunit",
        thresholds=Thresholds(None, config.objectives.error_ratio),
    )


def p99_by_service(config: MonitoringConfig) -> Panel:
    """99th percentile of the duration of each service's requests and messages."""
    p99 = Query(expr=quantile(0.99, _ENTRY_DURATION, RATE_INTERVAL, SERVICE), legend="{{service_name}}")
    return timeseries(
        "p99 duration, by service",
        f"99 % of the requests and messages take at most this long. {about_dots(config)}",
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
        "All operations (span names) of the last 5 minutes, with the share of their spans that failed; the highest"
        " comes first. A response 4xx is the caller's mistake and no failure. A failed span is not always a failed"
        " request: its caller may handle the error.",
        [
            Column(title="Failed spans", query=failed, unit="percentunit", thresholds=_error_thresholds(config)),
            Column(title="Rate", query=f"{rate(_OPERATIONS, '5m', *by)} > 0", unit=per_second("spans")),
            Column(title="p95", query=quantile(0.95, _OPERATION_DURATION, "5m", *by), unit="ms"),
        ],
        by=by,
        words={SPAN_KIND: {f"SPAN_KIND_{kind.upper()}": Word(kind) for kind in _KINDS}},
        height=10,
    )


def rate_by_operation(_: MonitoringConfig) -> Panel:
    """Spans per second of each operation."""
    expr = rate(_OPERATIONS, RATE_INTERVAL, SERVICE, SPAN_NAME)
    return timeseries(
        "Rate, by operation",
        "Spans per second.",
        [Query(expr=expr, legend="{{service_name}} {{span_name}}")],
        unit=per_second("spans"),
        width=24,
        table=True,
    )


def p95_by_operation(config: MonitoringConfig) -> Panel:
    """95th percentile of the duration of each operation."""
    expr = quantile(0.95, _OPERATION_DURATION, RATE_INTERVAL, SERVICE, SPAN_NAME)
    return timeseries(
        "p95 duration, by operation",
        f"95 % of the spans take at most this long. {about_dots(config)}",
        with_exemplars(config, Query(expr=expr, legend="{{service_name}} {{span_name}}"), OF_SERVICE),
        unit="ms",
        width=24,
        table=True,
    )


@of_services
def cpu(_: MonitoringConfig) -> Panel:
    """CPU of each service's busiest pod."""
    used = f"rate({series(metrics.PROCESS_CPU, SERVICE_JOBS, _OF_JOB)}[{RATE_INTERVAL}])"
    return timeseries(
        "CPU, by service",
        "Cores that the busiest pod uses.",
        [Query(expr=f"max by ({JOB}) ({used})", legend="{{job}}")],
        unit="count:cores",
    )


@of_services
def memory(_: MonitoringConfig) -> Panel:
    """Memory of each service's largest pod."""
    used = series(metrics.PROCESS_MEMORY, SERVICE_JOBS, _OF_JOB)
    return timeseries(
        "Memory, by service",
        "Resident memory of the pod that uses the most.",
        [Query(expr=f"max by ({JOB}) ({used})", legend="{{job}}")],
        unit="bytes",
    )


def firing_alerts(config: MonitoringConfig) -> Panel | None:
    """Alerts that fire now."""
    if not config.alerting:
        return None
    by = {"severity": "Severity", "alertname": "Alert", "service": "Service"}
    firing = series(metrics.ALERTS, equals("alertstate", "firing"), 'severity!="none"', _OF_ALERT)
    return table(
        "Firing alerts",
        "Alerts that fire now, and the service that each is about.",
        [Column(title="Alerts", query=f"count by ({', '.join(by)}) ({firing})", unit="short")],
        by=by,
        normally_empty="no alert fires.",
        height=6,
    )


def _searched(config: MonitoringConfig) -> str:
    """Return the services whose traces are shown. Jaeger searches for one service, and takes no pattern."""
    return "$service" if config.trace_backend == "tempo" else GATEWAY


def _limitation(config: MonitoringConfig) -> str:
    """Return the sentence about traces that the search leaves out."""
    return " Requests to the gateway only." if config.trace_backend == "jaeger" else ""


def failed_traces(config: MonitoringConfig) -> Panel | None:
    """Traces of failed requests and messages."""
    return traces(
        config,
        "Failed requests and messages",
        "Traces in which a service failed to handle a request or a message. The red spans of a trace show the cause."
        + _limitation(config),
        TraceSearch(service=_searched(config), failed=True, entry=True),
        normally_empty="no request and no message failed.",
        width=12,
    )


def latest_traces(config: MonitoringConfig) -> Panel | None:
    """The latest traces."""
    return traces(
        config,
        "Latest traces",
        "Traces of requests and messages, the latest first." + _limitation(config),
        TraceSearch(service=_searched(config), entry=True),
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
    variables=(dashboard.SERVICE,),
    links=(failed_spans(SERVICES), drilldown(SERVICES)),
    rows=(
        Row("Now", (paging_alerts, handled, error_ratio, p99, pods_up, dependencies)),
        Row("By service", (error_ratio_by_service, p99_by_service, operations)),
        Row("Rate and duration", (rate_by_operation, p95_by_operation)),
        Row("Saturation", (cpu, memory)),
        Row("Alerts", (firing_alerts,)),
        Row("Traces and logs", (failed_traces, latest_traces, warnings_and_errors)),
    ),
)
