"""What people get: errors, time, traffic and tasks."""

from contracts import endpoints
from dashboards.queries import ASKED, CALLS, ENTRY, FAILED, grown, quantile, rate, share
from dashboards.rules.model import AlertRule, RuleGroup
from stack.settings import Settings

_PAGES = "crawler_pages_total"
_UNFETCHED = 'crawler_pages_total{outcome="error"}'
_GATEWAY = f'http_server_requests_total{{job="{endpoints.GATEWAY}",{ASKED}}}'


def services(settings: Settings) -> tuple[RuleGroup, ...]:
    """Alerts on requests and tasks."""
    goals = settings.objectives
    calls, failed = f"{CALLS}{{{ENTRY}}}", f"{CALLS}{{{ENTRY},{FAILED}}}"
    duration = f"http_server_request_duration_seconds_bucket{{{ASKED}}}"
    requests = f"http_server_request_duration_seconds_count{{{ASKED}}}"
    return (
        RuleGroup(
            name="services",
            rules=(
                AlertRule(
                    name="ErrorRateHigh",
                    # Three at least: one failure at night is no incident.
                    query=f"{share(failed, calls, '2m', 'service_name')} > {goals.error_ratio}"
                    f" and on (service_name) {grown(failed, '2m', 'service_name')} >= 3",
                    for_="15s",
                    severity="page",
                    summary="{{ $labels.service_name }} fails {{ $value | humanizePercentage }} of its operations",
                    description="Requests and messages of the last two minutes.",
                    dashboard="services",
                ),
                AlertRule(
                    name="RequestsSlow",
                    query=f"{quantile(0.99, duration, '2m', 'job, route')} > {goals.request_ms / 1000}"
                    f" and on (job, route) {grown(requests, '2m', 'job, route')} >= 20",
                    for_="30s",
                    severity="page",
                    summary="{{ $labels.job }} {{ $labels.route }} is slow",
                    description="One request in a hundred takes more than {{ $value | humanizeDuration }}.",
                    dashboard="services",
                ),
                AlertRule(
                    name="TrafficDropped",
                    query=f"(sum({rate(_GATEWAY, '5m')}) or vector(0)) < 0.1 * {rate(_GATEWAY, '1h')}"
                    f" and {rate(_GATEWAY, '1h')} > 0.2",
                    for_="5m",
                    severity="ticket",
                    summary="Hardly any request comes in",
                    description="{{ $value | humanize }} a second, less than a tenth of the last hour's.",
                    dashboard="services",
                    service=endpoints.GATEWAY,
                ),
                AlertRule(
                    name="CrawlsFail",
                    query=f"{share(_UNFETCHED, _PAGES, '1m')} > 0.2 and on () {grown(_UNFETCHED, '1m', '')} >= 3",
                    for_="10s",
                    severity="page",
                    summary="{{ $value | humanizePercentage }} of the pages cannot be fetched",
                    description="The crawler answers, and says that it could not fetch what it was asked for.",
                    dashboard="tasks",
                    service=endpoints.CRAWLER,
                ),
                AlertRule(
                    name="TasksSlow",
                    query=f"{quantile(0.95, 'task_duration_seconds_bucket', '5m')} > {goals.task_seconds}",
                    for_="1m",
                    severity="page",
                    summary="Tasks take too long",
                    description="One in twenty takes more than {{ $value | humanizeDuration }} from creation to end.",
                    dashboard="tasks",
                    service=endpoints.TASK_MANAGER,
                ),
                AlertRule(
                    name="TasksStuck",
                    query=f"max(web_crawl_tasks_oldest_seconds) > {10 * goals.task_seconds}",
                    for_="1m",
                    severity="ticket",
                    summary="A task does not come to its end",
                    description="The oldest open one has waited for {{ $value | humanizeDuration }}.",
                    dashboard="tasks",
                    service=endpoints.TASK_MANAGER,
                ),
            ),
        ),
    )
