"""The dashboard *Tasks*: do tasks finish in time, and where do they wait?"""

from typing import Final

from contracts import service_metrics
from contracts.metrics import JOB, OPERATION, OUTCOME, REASON, SERVICE, STATUS, TOPIC
from contracts.services import CRAWLER, TASK_MANAGER
from contracts.topics import CRAWL_TOPIC, STATUS_TOPIC
from dashboards.config import MonitoringConfig
from dashboards.dashboard import Dashboard, Row
from dashboards.panels import (
    Panel,
    Query,
    Thresholds,
    TraceSearch,
    about_dots,
    logs,
    per_second,
    stat,
    timeseries,
    traces,
)
from dashboards.queries import (
    NOT_DEAD_LETTER,
    OF_USERS,
    RATE_INTERVAL,
    buckets,
    equals,
    mean,
    quantile,
    rate,
    ratio,
    series,
)
from dashboards.rules.slo import tasks_in_time

_ENDED: Final = series(f"{service_metrics.TASK_DURATION}_count", OF_USERS)
_FAILED: Final = series(f"{service_metrics.TASK_DURATION}_count", OF_USERS, equals(STATUS, "failed"))
_DURATION: Final = buckets(service_metrics.TASK_DURATION, OF_USERS)
_LAST_HOUR: Final = equals("window", "1h")


def created(_: MonitoringConfig) -> Panel:
    """New tasks per second."""
    new = series(service_metrics.TASK_OPERATIONS, equals(OPERATION, "create task"))
    return stat("Created tasks", "New tasks per second.", rate(new, RATE_INTERVAL), unit=per_second("tasks"))


def finished_in_time(config: MonitoringConfig) -> Panel:
    """Share of the tasks that ended within the objective."""
    goals = config.objectives
    return stat(
        "Finished in time",
        f"Share of the users' tasks that ended within {goals.task_seconds} s of their creation.",
        ratio(tasks_in_time(config), _ENDED, RATE_INTERVAL),
        unit="percentunit",
        thresholds=Thresholds(1 - (1 - goals.tasks_in_time) / 2, goals.tasks_in_time, rising=False),
        decimals=2,
    )


def failed(_: MonitoringConfig) -> Panel:
    """Share of the tasks that ended with an error."""
    return stat(
        "Failed tasks",
        "Share of the users' tasks that ended with an error, for any reason.",
        ratio(_FAILED, _ENDED, RATE_INTERVAL),
        unit="percentunit",
        thresholds=Thresholds(0.05, 0.2),
    )


def open_tasks(_: MonitoringConfig) -> Panel:
    """Tasks that have not ended."""
    return stat(
        "Open tasks",
        "Tasks of users of the last hour that have not ended.",
        f"max({series(service_metrics.TASKS, equals(STATUS, 'new'), _LAST_HOUR)})",
        unit="short",
        thresholds=Thresholds(100, 1000),
    )


def oldest_open_task(config: MonitoringConfig) -> Panel:
    """Age of the oldest task that has not ended."""
    limit = config.objectives.task_seconds
    return stat(
        "Oldest open task",
        "Age of the oldest task that has not ended.",
        f"max({service_metrics.OLDEST_TASK})",
        unit="s",
        thresholds=Thresholds(limit, 10 * limit),
    )


def p95(config: MonitoringConfig) -> Panel:
    """95th percentile of the time from a task's creation to its end."""
    limit = config.objectives.task_seconds
    return stat(
        "p95 duration",
        "95 % of the users' tasks end within this time of their creation.",
        quantile(0.95, _DURATION, RATE_INTERVAL),
        unit="s",
        thresholds=Thresholds(limit / 2, limit),
    )


def operations(_: MonitoringConfig) -> Panel:
    """What the task-manager does, by outcome."""
    expr = rate(service_metrics.TASK_OPERATIONS, RATE_INTERVAL, OPERATION, OUTCOME)
    return timeseries(
        "Operations, by outcome",
        "Operations of the task-manager per second. `duplicate`: the message came a second time and changed nothing.",
        [Query(expr=expr, legend="{{operation}}: {{outcome}}")],
        unit=per_second("operations"),
    )


def tasks_by_status(_: MonitoringConfig) -> Panel:
    """Tasks of the last hour."""
    return timeseries(
        "Tasks, by status",
        "Tasks of users that were created within the last hour.",
        [Query(expr=f"max by ({STATUS}) ({series(service_metrics.TASKS, _LAST_HOUR)})", legend="{{status}}")],
        unit="short",
        stacked=True,
    )


def deleted(_: MonitoringConfig) -> Panel:
    """Tasks that were deleted."""
    expr = f"sum by ({REASON}) (increase({service_metrics.TASKS_DELETED}[{RATE_INTERVAL}]))"
    return timeseries(
        "Deleted tasks, by reason",
        "`retention`: they ended longer ago than the setting `tasks.retention`. `synthetic`: those of the probe and of"
        " smoke checks, after an hour.",
        [Query(expr=expr, legend="{{reason}}")],
        unit="short",
    )


def duration(config: MonitoringConfig) -> Panel:
    """Percentiles of the time from a task's creation to its end."""

    def percentile(q: float) -> Query:
        expr = quantile(q, _DURATION, RATE_INTERVAL)
        return Query(expr=expr, legend=f"p{q * 100:g}", exemplars=q == 0.99)

    return timeseries(
        "Task duration",
        f"Time from creation to end. {about_dots(config)}",
        [percentile(0.5), percentile(0.95), percentile(0.99)],
        unit="s",
        thresholds=Thresholds(None, config.objectives.task_seconds),
    )


def time_by_stage(_: MonitoringConfig) -> Panel:
    """Mean time that a task spends in each stage."""
    topics = {STATUS_TOPIC: "waits for the task-manager", CRAWL_TOPIC: "waits for the crawler"}

    def mean_of(histogram: str, *matchers: str) -> str:
        return mean(histogram, RATE_INTERVAL, *matchers)

    waits = [
        Query(expr=mean_of(service_metrics.MESSAGE_WAIT, equals(TOPIC, topic)), legend=f"message {title}")
        for topic, title in topics.items()
    ]
    handling = [
        Query(
            expr=mean_of(service_metrics.MESSAGE_PROCESSING, equals(TOPIC, topic)),
            legend=f"message of {topic} is handled",
        )
        for topic in topics
    ]
    fetch = Query(expr=mean_of(service_metrics.FETCH_DURATION), legend="page is fetched (part of the handling)")
    return timeseries(
        "Time, by stage",
        "Mean time of each stage of a task: its messages wait in Kafka and are handled, its page is fetched.",
        [*waits, *handling, fetch],
        unit="s",
    )


def pages(_: MonitoringConfig) -> Panel:
    """Pages that the crawler fetches, by outcome."""
    return timeseries(
        "Pages, by outcome",
        "Pages per second that the crawler was asked to fetch.",
        [Query(expr=rate(service_metrics.CRAWLED_PAGES, RATE_INTERVAL, OUTCOME), legend="{{outcome}}")],
        unit=per_second("pages"),
        stacked=True,
    )


def dead_letters(_: MonitoringConfig) -> Panel:
    """Messages that cannot be handled."""
    dead = rate(
        series(
            service_metrics.MESSAGES_CONSUMED, NOT_DEAD_LETTER, equals(OUTCOME, service_metrics.OUTCOME_DEAD_LETTER)
        ),
        RATE_INTERVAL,
        JOB,
    )
    return timeseries(
        "Dead-lettered messages",
        "Messages per second that cannot be handled and were sent to a dead-letter topic.",
        [Query(expr=f"{dead} or 0 * sum by ({JOB}) ({service_metrics.CONSUMER_PARTITIONS})", legend="{{job}}")],
        unit=per_second("messages"),
    )


def refused(_: MonitoringConfig) -> Panel:
    """Requests that the gateway refused."""
    expr = f"sum by ({REASON}) (increase({service_metrics.ACCESS_REFUSALS}[{RATE_INTERVAL}]))"
    return timeseries(
        "Refused requests, by reason",
        "Requests without access to the gateway, and requests over a limit of their caller (`rate`, `concurrency`).",
        [Query(expr=expr, legend="{{reason}}")],
        unit="short",
    )


def failed_traces(config: MonitoringConfig) -> Panel | None:
    """Traces with a failed span of the crawler."""
    return traces(
        config,
        "Tasks whose page could not be fetched",
        "Traces in which a span of the crawler failed.",
        TraceSearch(service=CRAWLER, failed=True),
        normally_empty="every page could be fetched.",
    )


def operation_logs(config: MonitoringConfig) -> Panel | None:
    """A log line for each operation of the task-manager."""
    return logs(
        config,
        "Operations of the task-manager",
        "A log line for each operation, with a link to its trace.",
        f'{{{equals(SERVICE, TASK_MANAGER)}}} | logger_name="service.task_manager.telemetry"',
    )


DASHBOARD: Final = Dashboard(
    uid="tasks",
    title="Tasks",
    only_of_services=True,
    question="Do tasks finish in time, and where do they wait?",
    rows=(
        Row("Now", (created, finished_in_time, failed, open_tasks, oldest_open_task, p95)),
        Row("Flow", (operations, tasks_by_status, duration, time_by_stage, pages, dead_letters, deleted, refused)),
        Row("Traces and logs", (failed_traces, operation_logs)),
    ),
)
