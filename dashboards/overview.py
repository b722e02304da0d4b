"""The dashboard *What is broken*: the page that the engineer on call reads first."""

from typing import Final

from contracts import metrics, service_metrics
from contracts.metrics import JOB, TRACK
from contracts.services import GATEWAY
from dashboards import proofs
from dashboards.config import MonitoringConfig
from dashboards.dashboard import Dashboard, Row, of_services
from dashboards.links import ALL_SERVICES, drilldown, failed_spans
from dashboards.panels import (
    ERROR_COLOR,
    SUCCESS_COLOR,
    WARNING_COLOR,
    Column,
    Panel,
    Query,
    State,
    Thresholds,
    TraceSearch,
    Word,
    stat,
    state_timeline,
    table,
    timeseries,
    traces,
)
from dashboards.queries import (
    ENTRY_SPAN,
    FAILED_SPAN,
    OF_USERS,
    RATE_INTERVAL,
    SERVER_ERROR,
    SERVICE_JOBS,
    USER_ROUTES,
    equals,
    ratio,
    series,
)
from dashboards.rules.dependencies import FAILED_CALLS, MAX_ERROR_RATIO, RATE
from dashboards.rules.runbook_links import RUNBOOK, RUNBOOK_LINK
from dashboards.rules.slo import Objective, error_ratio, requests, tasks

_FIRING: Final = (equals("alertstate", "firing"), 'severity!="none"')
_SEVERITIES: Final = {"page": Word("page", ERROR_COLOR), "ticket": Word("ticket", WARNING_COLOR)}
_REQUESTS: Final = series(service_metrics.HTTP_REQUESTS, SERVICE_JOBS, USER_ROUTES, OF_USERS)
_FAILED_REQUESTS: Final = series(service_metrics.HTTP_REQUESTS, SERVICE_JOBS, USER_ROUTES, OF_USERS, SERVER_ERROR)
_ENTRIES: Final = series(metrics.SPAN_CALLS, ENTRY_SPAN)
_FAILED_ENTRIES: Final = series(metrics.SPAN_CALLS, ENTRY_SPAN, FAILED_SPAN)


def pages(_: MonitoringConfig) -> Panel:
    """Alerts that page the engineer on call."""
    return stat(
        "Paging alerts",
        "Alerts of severity `page` that are firing.",
        f"count({series(metrics.ALERTS, equals('alertstate', 'firing'), equals('severity', 'page'))}) or vector(0)",
        unit="short",
        thresholds=Thresholds(None, 1),
        width=4,
        height=3,
    )


@of_services
def failed_requests(config: MonitoringConfig) -> Panel:
    """Share of the users' requests that failed."""
    limit = config.objectives.error_ratio
    return stat(
        "Failed requests of users",
        "Share of the requests that got a response 5xx.",
        ratio(_FAILED_REQUESTS, _REQUESTS, RATE_INTERVAL),
        unit="percentunit",
        thresholds=Thresholds(limit / 4, limit),
        width=5,
        height=3,
    )


def requests_budget(config: MonitoringConfig) -> Panel | None:
    """How fast the error budget of the requests is used up."""
    return _burn_rate("requests", requests(config))


def tasks_budget(config: MonitoringConfig) -> Panel | None:
    """How fast the error budget of the tasks is used up."""
    return _burn_rate("tasks in time", tasks(config))


def _burn_rate(name: str, objective: Objective | None) -> Panel | None:
    if objective is None:
        return None
    return stat(
        f"Burn rate, {name}",
        "At 1 the error budget of 30 days lasts 30 days. Of the last hour.",
        f"{error_ratio(objective, '1h')} / {objective.budget:.6g}",
        unit="short",
        thresholds=Thresholds(1, 6),
        width=5,
        height=3,
    )


def firing(_: MonitoringConfig) -> Panel:
    """Each firing alert, since when, and its runbook."""
    alerts = "alertname, service, severity"
    since = f"max by ({alerts}) ({metrics.ALERT_SINCE}) and on ({alerts}) {series(metrics.ALERTS, *_FIRING)}"
    return table(
        "Firing alerts, and since when",
        "The alert that began first is at the bottom: it is often the cause. Click its runbook to open it.",
        [
            Column(
                title="Since",
                query=f"({since}) * 1000 * on (alertname) group_left ({RUNBOOK}) {RUNBOOK_LINK}",
                unit="dateTimeFromNow",
            )
        ],
        by={"severity": "Severity", "alertname": "Alert", "service": "Service", RUNBOOK: "Runbook"},
        links={RUNBOOK: "/d/${__value.raw}?${__url_time_range}"},
        words={RUNBOOK: {".+": Word("open")}, "severity": _SEVERITIES},
        normally_empty="no alert fires.",
        width=14,
        height=6,
    )


@of_services
def changes(config: MonitoringConfig) -> Panel:
    """The latest starts of services."""
    return table(
        "What changed before",
        "When the youngest pod of each service started: a deployment, a rollout (track `canary`) or a crash.",
        [
            Column(
                title="Started",
                query=f"{series(metrics.PROCESS_START, SERVICE_JOBS)} * 1000",
                unit="dateTimeFromNow",
            )
        ],
        by={JOB: "Service", TRACK: "Track"},
        links={JOB: f"/d/{config.names.uid('rollout')}?${{__url_time_range}}"},
        width=10,
        height=6,
    )


def failures_over_time(config: MonitoringConfig) -> Panel:
    """When it began."""
    limit = config.objectives.error_ratio
    return timeseries(
        "Failures, by service",
        "Share of the requests and messages that each service failed to handle: when did it begin, and where?",
        [
            Query(
                expr=ratio(_FAILED_ENTRIES, _ENTRIES, RATE_INTERVAL, metrics.SERVICE),
                legend="{{service_name}}",
            )
        ],
        unit="percentunit",
        thresholds=Thresholds(None, limit),
        width=7,
        height=7,
    )


def failing_calls(config: MonitoringConfig) -> Panel:
    """The edges of the service map that fail."""
    failed = f"{FAILED_CALLS} / ({RATE} > 0)"
    return table(
        "Calls that fail",
        "Calls of the last minute, the highest share of failures first. The deepest one is the cause.",
        [
            Column(
                title="Failed",
                query=f"{failed} > 0",
                unit="percentunit",
                thresholds=Thresholds(MAX_ERROR_RATIO / 5, MAX_ERROR_RATIO),
            )
        ],
        by={"source": "From", "target": "To"},
        links={"target": f"/d/{config.names.uid('dependencies')}?${{__url_time_range}}"},
        normally_empty="no call failed.",
        width=6,
        height=7,
    )


def first_traces(config: MonitoringConfig) -> Panel | None:
    """The three traces to look at first."""
    service = ".+" if config.trace_backend == "tempo" else GATEWAY
    return traces(
        config,
        "The three traces to look at first",
        "The latest requests and messages that failed. The red spans of a trace show the cause.",
        TraceSearch(service=service, failed=True, entry=True),
        limit=3,
        normally_empty="no request and no message failed.",
        width=11,
        height=7,
    )


def alerts_over_time(_: MonitoringConfig) -> Panel:
    """When each alert was pending and firing."""
    firing, pending = (
        series(metrics.ALERTS, equals("alertstate", state), 'severity!="none"') for state in ("firing", "pending")
    )
    quiet = 'label_replace(vector(0), "alertname", "no alert", "", "")'
    return state_timeline(
        "Alerts over time",
        "When each alert was pending, and when it was firing.",
        Query(expr=f"max by (alertname) (2 * {firing} or {pending}) or on () {quiet}", legend="{{alertname}}"),
        {0: State("quiet", SUCCESS_COLOR), 1: State("pending", WARNING_COLOR), 2: State("firing", ERROR_COLOR)},
    )


DASHBOARD: Final = Dashboard(
    uid="overview",
    title="What is broken",
    question="What is broken now, since when, what changed before, and which traces show it?",
    links=(failed_spans(ALL_SERVICES), drilldown(ALL_SERVICES)),
    rows=(
        Row("Now", (pages, failed_requests, proofs.failed_requests, requests_budget, tasks_budget)),
        Row("Since when, and what changed before", (firing, changes)),
        Row("Where", (failures_over_time, failing_calls, first_traces)),
        Row("Alerts over time", (alerts_over_time,)),
    ),
)
