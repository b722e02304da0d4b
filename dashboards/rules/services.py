"""Alerts on what users notice: errors, slow requests, missing traffic, tasks."""

from typing import Final

from contracts import metrics, service_metrics
from contracts.metrics import JOB, OUTCOME, ROUTE, SERVICE
from contracts.services import CRAWLER, GATEWAY, TASK_MANAGER
from dashboards.config import MonitoringConfig
from dashboards.queries import (
    ENTRY_SPAN,
    FAILED_SPAN,
    USER_ROUTES,
    buckets,
    equals,
    exact_increase,
    quantile,
    rate,
    ratio,
    series,
)
from dashboards.rules.model import AlertRule, RuleGroup

_FAILED_PAGES: Final = series(service_metrics.CRAWLED_PAGES, equals(OUTCOME, "error"))


def services(config: MonitoringConfig) -> RuleGroup:
    """Return the alerts on requests and tasks."""
    return RuleGroup(
        name="services",
        rules=(
            _error_rate_high(config),
            _requests_slow(config),
            _traffic_dropped(),
            _crawls_fail(),
            _tasks_slow(config),
            _tasks_stuck(config),
        ),
    )


def _error_rate_high(config: MonitoringConfig) -> AlertRule:
    calls = series(metrics.SPAN_CALLS, ENTRY_SPAN)
    failed = series(metrics.SPAN_CALLS, ENTRY_SPAN, FAILED_SPAN)
    return AlertRule(
        name="ErrorRateHigh",
        # At least three failures: a single one at night is no incident.
        query=f"{ratio(failed, calls, '2m', SERVICE)} > {config.objectives.error_ratio}"
        f" and on ({SERVICE}) {exact_increase(failed, '2m', SERVICE)} >= 3",
        for_="15s",
        severity="page",
        summary="{{ $value | humanizePercentage }} of the operations of {{ $labels.service_name }} fail",
        description="Requests and messages of the last 2 minutes.",
        dashboard="services",
    )


def _requests_slow(config: MonitoringConfig) -> AlertRule:
    duration = buckets(service_metrics.HTTP_DURATION, USER_ROUTES)
    requests = series(f"{service_metrics.HTTP_DURATION}_count", USER_ROUTES)
    return AlertRule(
        name="RequestsSlow",
        query=f"{quantile(0.99, duration, '2m', JOB, ROUTE)} > {config.objectives.request_ms / 1000}"
        f" and on ({JOB}, {ROUTE}) {exact_increase(requests, '2m', JOB, ROUTE)} >= 20",
        for_="30s",
        severity="page",
        summary="Requests to {{ $labels.job }} {{ $labels.route }} are slow",
        description="One request in a hundred takes more than {{ $value | humanizeDuration }}.",
        dashboard="services",
    )


def _traffic_dropped() -> AlertRule:
    requests = series(service_metrics.HTTP_REQUESTS, equals(JOB, GATEWAY), USER_ROUTES)
    last_hour = rate(requests, "1h")
    return AlertRule(
        name="TrafficDropped",
        query=f"(sum({rate(requests, '5m')}) or vector(0)) < 0.1 * {last_hour} and {last_hour} > 0.2",
        for_="5m",
        severity="ticket",
        summary="The gateway gets hardly any requests",
        description="{{ $value | humanize }} requests per second, less than a tenth of the last hour's rate.",
        dashboard="services",
        service=GATEWAY,
    )


def _crawls_fail() -> AlertRule:
    return AlertRule(
        name="CrawlsFail",
        query=f"{ratio(_FAILED_PAGES, service_metrics.CRAWLED_PAGES, '1m')} > 0.2"
        f" and on () {exact_increase(_FAILED_PAGES, '1m')} >= 3",
        for_="10s",
        severity="page",
        summary="{{ $value | humanizePercentage }} of the pages cannot be fetched",
        description="The crawler works, but the pages that it must fetch fail.",
        dashboard="tasks",
        service=CRAWLER,
    )


def _tasks_slow(config: MonitoringConfig) -> AlertRule:
    return AlertRule(
        name="TasksSlow",
        query=f"{quantile(0.95, buckets(service_metrics.TASK_DURATION), '5m')} > {config.objectives.task_seconds}",
        for_="1m",
        severity="page",
        summary="Tasks take too long",
        description="One task in twenty takes more than {{ $value | humanizeDuration }} from creation to end.",
        dashboard="tasks",
        service=TASK_MANAGER,
    )


def _tasks_stuck(config: MonitoringConfig) -> AlertRule:
    return AlertRule(
        name="TasksStuck",
        query=f"max({service_metrics.OLDEST_TASK}) > {10 * config.objectives.task_seconds}",
        for_="1m",
        severity="ticket",
        summary="A task does not end",
        description="The oldest open task has waited for {{ $value | humanizeDuration }}.",
        dashboard="tasks",
        service=TASK_MANAGER,
    )
