"""Which hop is broken?"""

from dashboards.dashboard import OPERATION, SERVICE, Dashboard, Row
from dashboards.panels import (
    Column,
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
from dashboards.queries import CALLS, DURATION_MS, ENTRY, FAILED, OF_SERVICES, quantile, rate, share
from stack.settings import Settings

_WINDOW = "$__rate_interval"
_CHOSEN = 'deployment_environment_name=~"$environment",service_name=~"$service"'
_ENTRIES = f"{_CHOSEN},{ENTRY}"
_OPERATIONS = f'{_CHOSEN},span_name=~"$operation"'


def services(settings: Settings) -> Dashboard:
    """Rate, errors and duration of every service and operation, then the traces and lines of what fails."""
    goals = settings.objectives
    error = Thresholds(goals.error_ratio / 4, goals.error_ratio)
    return Dashboard(
        uid="services",
        title="Services",
        question="Which hop is broken? From left to right along the way of a task; from top to bottom to the cause.",
        variables=(SERVICE, OPERATION),
        rows=(
            Row(
                title="Now",
                panels=(
                    stat(
                        "Paging alerts",
                        "Firing alerts of severity page.",
                        'count(ALERTS{alertstate="firing",severity="page"}) or vector(0)',
                        unit="short",
                        thresholds=Thresholds(None, 1),
                        width=3,
                    ),
                    stat(
                        "Operations",
                        "Requests and messages handled a second.",
                        rate(f"{CALLS}{{{_ENTRIES}}}", _WINDOW),
                        unit="reqps",
                        width=3,
                    ),
                    stat(
                        "Failed",
                        "Share of the requests and messages that failed.",
                        share(f"{CALLS}{{{_ENTRIES},{FAILED}}}", f"{CALLS}{{{_ENTRIES}}}", _WINDOW),
                        unit="percentunit",
                        thresholds=error,
                        width=3,
                    ),
                    stat(
                        "p99",
                        "Time that 99 % of the requests and messages take at most.",
                        quantile(0.99, f"{DURATION_MS}{{{_ENTRIES}}}", _WINDOW),
                        unit="ms",
                        thresholds=Thresholds(goals.request_ms / 2, goals.request_ms),
                        width=3,
                    ),
                    stat(
                        "Pods that answer",
                        "Of each service.",
                        Query(expr=f"sum by (job) (up{{{OF_SERVICES}}})", legend="{{job}}"),
                        unit="short",
                        thresholds=Thresholds(None, 1, rising=False),
                        width=5,
                    ),
                    stat(
                        "What they depend on",
                        "1 where at least one pod reaches it.",
                        Query(
                            expr=f"max by (job, dependency) (dependency_up{{{OF_SERVICES}}})",
                            legend="{{job}} → {{dependency}}",
                        ),
                        unit="short",
                        thresholds=Thresholds(None, 1, rising=False),
                        width=7,
                    ),
                ),
            ),
            Row(
                title="Hop by hop",
                panels=(
                    timeseries(
                        "Failed, by service",
                        "Share of requests and messages that failed; the line is where somebody is woken.",
                        [
                            Query(
                                expr=share(
                                    f"{CALLS}{{{_ENTRIES},{FAILED}}}",
                                    f"{CALLS}{{{_ENTRIES}}}",
                                    _WINDOW,
                                    "service_name",
                                ),
                                legend="{{service_name}}",
                            )
                        ],
                        unit="percentunit",
                        thresholds=error,
                    ),
                    timeseries(
                        "p99, by service",
                        "Time that 99 % of requests and messages take at most. A dot is a trace: click it.",
                        with_exemplars(
                            settings,
                            Query(
                                expr=quantile(0.99, f"{DURATION_MS}{{{_ENTRIES}}}", _WINDOW, "service_name"),
                                legend="{{service_name}}",
                            ),
                            _ENTRIES,
                        ),
                        unit="ms",
                        thresholds=Thresholds(None, goals.request_ms),
                    ),
                    table(
                        "Operations",
                        "Every kind of span of the last five minutes; what fails most comes first.",
                        [
                            Column(
                                title="Failed",
                                query=share(
                                    f"{CALLS}{{{_OPERATIONS},{FAILED}}}",
                                    f"{CALLS}{{{_OPERATIONS}}}",
                                    "5m",
                                    "service_name, span_kind, span_name",
                                ),
                                unit="percentunit",
                                thresholds=error,
                            ),
                            Column(
                                title="Rate",
                                query=rate(f"{CALLS}{{{_OPERATIONS}}}", "5m", "service_name, span_kind, span_name")
                                + " > 0",
                                unit="reqps",
                            ),
                            Column(
                                title="p95",
                                query=quantile(
                                    0.95, f"{DURATION_MS}{{{_OPERATIONS}}}", "5m", "service_name, span_kind, span_name"
                                ),
                                unit="ms",
                            ),
                        ],
                        by={"service_name": "Service", "span_kind": "Kind", "span_name": "Operation"},
                        height=10,
                    ),
                ),
            ),
            Row(
                title="Rate and duration",
                panels=(
                    timeseries(
                        "Rate, by operation",
                        "Spans a second.",
                        [
                            Query(
                                expr=rate(f"{CALLS}{{{_OPERATIONS}}}", _WINDOW, "service_name, span_name"),
                                legend="{{service_name}} {{span_name}}",
                            )
                        ],
                        unit="reqps",
                    ),
                    timeseries(
                        "p95, by operation",
                        "Time that 95 % take at most. A dot is a trace: click it.",
                        with_exemplars(
                            settings,
                            Query(
                                expr=quantile(
                                    0.95, f"{DURATION_MS}{{{_OPERATIONS}}}", _WINDOW, "service_name, span_name"
                                ),
                                legend="{{service_name}} {{span_name}}",
                            ),
                            _OPERATIONS,
                        ),
                        unit="ms",
                    ),
                ),
            ),
            *((_alerts(),) if settings.alerting.enabled else ()),
            Row(
                title="Traces and lines",
                panels=(
                    traces(
                        settings,
                        "Failed traces",
                        "Traces with a failed span of the gateway, the front door: the red spans are the cause.",
                        TraceSearch(service="gateway", failed=True),
                        normally_empty="nothing failed.",
                        width=12,
                    ),
                    traces(
                        settings,
                        "Latest traces",
                        "Traces of new tasks.",
                        TraceSearch(service="gateway", operation="POST /api/tasks"),
                        width=12,
                    ),
                    *(
                        (
                            logs(
                                "Warnings and errors",
                                "Lines of the services; each has a link to its trace.",
                                '{service_name=~"$service"} | severity_text=~"WARN|WARNING|ERROR|CRITICAL|FATAL"',
                                normally_empty="no service has warned of anything.",
                            ),
                        )
                        if settings.logs.enabled
                        else ()
                    ),
                ),
            ),
        ),
    )


def _alerts() -> Row:
    told = "sum by (receiver_name, integration) (increase(alertmanager_notifications{}_total[5m]))"
    return Row(
        title="Alerts, and who was told",
        panels=(
            table(
                "Firing",
                "Alerts that fire now, with the service that they are about.",
                [
                    Column(
                        title="Alerts",
                        query='count by (severity, alertname, service) (ALERTS{alertstate="firing",severity!="none"})',
                        unit="short",
                    )
                ],
                by={"severity": "Severity", "alertname": "Alert", "service": "Service"},
                normally_empty="nothing is wrong.",
                width=12,
                height=8,
            ),
            timeseries(
                "Alerts in the Alertmanager, and notifications",
                "Suppressed are those that are silenced or a consequence of another one; "
                "notifications are those of five minutes.",
                [
                    Query(expr="sum by (state) (alertmanager_alerts)", legend="{{state}}"),
                    Query(expr=told.format(""), legend="told {{receiver_name}} by {{integration}}"),
                    Query(expr=told.format("_failed"), legend="not told {{receiver_name}} by {{integration}}"),
                ],
                unit="short",
            ),
        ),
    )
