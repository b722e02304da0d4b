"""Alerts on what users notice: errors, slow requests, missing traffic, tasks."""

from typing import Final

from contracts import metrics, service_metrics
from contracts.metrics import JOB, OUTCOME, ROUTE, SERVICE
from contracts.services import CRAWLER, GATEWAY, TASK_MANAGER
from contracts.tasks import TaskStatus
from dashboards.config import MonitoringConfig
from dashboards.queries import (
    ENTRY_SPAN,
    FAILED_SPAN,
    OF_USERS,
    USER_ROUTES,
    above,
    buckets,
    equals,
    exact_increase,
    rate,
    ratio,
    series,
    slow,
)
from dashboards.rules import own_services
from dashboards.rules.model import AlertRule, RuleGroup

# The failures of the stack: its own page, or a bug of the crawler.
_FAILED_CRAWLS: Final = series(service_metrics.CRAWLED_PAGES, equals(OUTCOME, service_metrics.OUTCOME_FAILED))
_FAILED_PAGES: Final = series(service_metrics.CRAWLED_PAGES, equals(OUTCOME, TaskStatus.ERROR))
_UNREACHABLE_SITES: Final = 10


def services(config: MonitoringConfig) -> RuleGroup:
    """Return the alerts on requests and tasks."""
    if not config.services:
        return RuleGroup(name="services", rules=(_error_rate_high(config), *own_services.alerts(config)))
    return RuleGroup(
        name="services",
        rules=(
            _error_rate_high(config),
            _requests_slow(config),
            _traffic_dropped(),
            _crawls_fail(),
            _web_unreachable(),
            _pages_fail(),
            _tasks_slow(config),
            _tasks_stuck(config),
        ),
    )


def _error_rate_high(config: MonitoringConfig) -> AlertRule:
    calls = series(metrics.SPAN_CALLS, ENTRY_SPAN)
    failed = series(metrics.SPAN_CALLS, ENTRY_SPAN, FAILED_SPAN)
    limit = config.objectives.error_ratio
    return AlertRule(
        name="ErrorRateHigh",
        # At least three failures: a single one at night is no incident.
        query=f"{above(ratio(failed, calls, '2m', SERVICE), limit, limit / 2, 'ErrorRateHigh', SERVICE)}"
        f" and on ({SERVICE}) {exact_increase(failed, '2m', SERVICE)} >= 3",
        for_="15s",
        # An error rate around the objective crosses it at each wave of the traffic.
        keep_firing_for="2m",
        severity="page",
        summary="{{ $value | humanizePercentage }} of the operations of {{ $labels.service_name }} fail",
        description="Requests and messages of the last 2 minutes.",
        dashboard="services",
    )


def _requests_slow(config: MonitoringConfig) -> AlertRule:
    duration = buckets(service_metrics.HTTP_DURATION, USER_ROUTES, OF_USERS)
    requests = series(f"{service_metrics.HTTP_DURATION}_count", USER_ROUTES, OF_USERS)
    limit = config.objectives.request_ms / 1000
    return AlertRule(
        name="RequestsSlow",
        query=slow(duration, requests, "2m", limit, (0.99, 0.85), JOB, ROUTE),
        for_="30s",
        # A percentile around the objective crosses it at each wave of the traffic.
        keep_firing_for="2m",
        severity="page",
        summary="Requests to {{ $labels.job }} {{ $labels.route }} are slow",
        description="The slowest requests of the last 2 minutes take more than {{ $value | humanizeDuration }}.",
        dashboard="services",
    )


def _traffic_dropped() -> AlertRule:
    requests = series(service_metrics.HTTP_REQUESTS, equals(JOB, GATEWAY), USER_ROUTES, OF_USERS)
    last_hour = rate(requests, "1h")
    return AlertRule(
        name="TrafficDropped",
        query=f"60 * (sum({rate(requests, '5m')}) or vector(0)) < 6 * {last_hour} and {last_hour} > 0.2",
        for_="5m",
        severity="ticket",
        summary="The gateway gets hardly any requests",
        description="{{ $value | printf `%.1f` }} requests per minute, less than a tenth of the last hour's rate.",
        dashboard="services",
        service=GATEWAY,
    )


def _crawls_fail() -> AlertRule:
    return AlertRule(
        name="CrawlsFail",
        query=f"{ratio(_FAILED_CRAWLS, service_metrics.CRAWLED_PAGES, '1m')} > 0.05"
        f" and on () {exact_increase(_FAILED_CRAWLS, '1m')} >= 3",
        for_="10s",
        # With little traffic there are seconds in which no page is asked for.
        keep_firing_for="1m",
        severity="page",
        summary="The crawler fails at {{ $value | humanizePercentage }} of the pages",
        description="It cannot fetch the stack's own page, or has an internal error. Web sites do not count.",
        dashboard="tasks",
        service=CRAWLER,
    )


def _web_unreachable() -> AlertRule:
    return AlertRule(
        name="WebUnreachable",
        # Of so many different sites, one after the other, at least one answers unless the way to the web is closed.
        # The sites of one user, the one with the most, do not count: that user's input may be wrong.
        query=f"max({service_metrics.UNREACHABLE_SITES}) >= {_UNREACHABLE_SITES}",
        for_="1m",
        # A name server that answers now and then lets one page through.
        keep_firing_for="2m",
        severity="page",
        summary="The crawler does not reach the web",
        description="{{ $value }} sites of several users did not answer, and no site has answered in between.",
        dashboard="tasks",
        service=CRAWLER,
    )


def _pages_fail() -> AlertRule:
    return AlertRule(
        name="PagesFail",
        query=f"{ratio(_FAILED_PAGES, service_metrics.CRAWLED_PAGES, '15m')} > 0.5"
        f" and on () {exact_increase(_FAILED_PAGES, '15m')} >= 20",
        for_="15m",
        # The sites that users ask for change within minutes.
        keep_firing_for="15m",
        severity="ticket",
        summary="{{ $value | humanizePercentage }} of the pages cannot be fetched",
        description="The crawler works. The web sites that users ask for fail, do not exist, or refuse the crawler.",
        dashboard="tasks",
        service=CRAWLER,
    )


def _tasks_slow(config: MonitoringConfig) -> AlertRule:
    duration = buckets(service_metrics.TASK_DURATION, OF_USERS)
    tasks = series(f"{service_metrics.TASK_DURATION}_count", OF_USERS)
    return AlertRule(
        name="TasksSlow",
        query=slow(duration, tasks, "5m", config.objectives.task_seconds, (0.95, 0.5)),
        for_="1m",
        # A backlog that is worked off wave by wave crosses the line again and again.
        keep_firing_for="2m",
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
