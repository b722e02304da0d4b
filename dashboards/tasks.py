"""Do tasks come to their end, and where do they wait?"""

from dashboards.dashboard import Dashboard, Row
from dashboards.panels import Query, Thresholds, TraceSearch, logs, stat, timeseries, traces
from dashboards.queries import MESSAGES, quantile, rate, share
from stack.settings import Settings

_WINDOW = "$__rate_interval"


def _mean(histogram: str, selector: str = "") -> str:
    return f"sum(rate({histogram}_sum{selector}[{_WINDOW}])) / sum(rate({histogram}_count{selector}[{_WINDOW}]))"


def tasks(settings: Settings) -> Dashboard:
    """Created, ended and open tasks; the time from creation to end and its parts."""
    goals = settings.objectives
    in_time = f'task_duration_seconds_bucket{{le="{float(goals.task_seconds)}"}}'
    topics = {"task-status": "waits for the task-manager", "requests-web-crawl": "waits for the crawler"}
    return Dashboard(
        uid="tasks",
        title="Tasks",
        question="Do tasks come to their end, and where do they wait?",
        rows=(
            Row(
                title="Now",
                panels=(
                    stat(
                        "Created",
                        "Tasks a second.",
                        rate('task_operations_total{operation="create task"}', _WINDOW),
                        unit="reqps",
                    ),
                    stat(
                        "In time",
                        f"Share of the tasks that ended within {goals.task_seconds} s of their creation.",
                        share(in_time, "task_duration_seconds_count", _WINDOW),
                        unit="percentunit",
                        thresholds=Thresholds(1 - (1 - goals.tasks_in_time) / 2, goals.tasks_in_time, rising=False),
                        decimals=2,
                    ),
                    stat(
                        "Failed",
                        "Share of the tasks that ended with an error, whoever's it is.",
                        share('task_duration_seconds_count{status="failed"}', "task_duration_seconds_count", _WINDOW),
                        unit="percentunit",
                        thresholds=Thresholds(0.05, 0.2),
                    ),
                    stat(
                        "Open",
                        "Tasks of the last hour that have not come to their end.",
                        'max(web_crawl_tasks{status="new",window="1h"})',
                        unit="short",
                        thresholds=Thresholds(100, 1000),
                    ),
                    stat(
                        "Oldest open one",
                        "Its age.",
                        "max(web_crawl_tasks_oldest_seconds)",
                        unit="s",
                        thresholds=Thresholds(goals.task_seconds, 10 * goals.task_seconds),
                    ),
                    stat(
                        "p95 from creation to end",
                        "95 % of the tasks take at most this long.",
                        quantile(0.95, "task_duration_seconds_bucket", _WINDOW),
                        unit="s",
                        thresholds=Thresholds(goals.task_seconds / 2, goals.task_seconds),
                    ),
                ),
            ),
            Row(
                title="Flow",
                panels=(
                    timeseries(
                        "Operations, by outcome",
                        "What the task-manager did. `duplicate` is a message that came again; it changed nothing.",
                        [
                            Query(
                                expr=rate("task_operations_total", _WINDOW, "operation, outcome"),
                                legend="{{operation}}: {{outcome}}",
                            )
                        ],
                        unit="reqps",
                    ),
                    timeseries(
                        "Tasks, by status",
                        "Of the last hour.",
                        [Query(expr='max by (status) (web_crawl_tasks{window="1h"})', legend="{{status}}")],
                        unit="short",
                        stacked=True,
                    ),
                    timeseries(
                        "From creation to end",
                        "A dot is a trace: click it.",
                        [
                            Query(
                                expr=quantile(q, "task_duration_seconds_bucket", _WINDOW),
                                legend=f"p{q * 100:g}",
                                exemplars=q == 0.99,
                            )
                            for q in (0.5, 0.95, 0.99)
                        ],
                        unit="s",
                        thresholds=Thresholds(None, goals.task_seconds),
                    ),
                    timeseries(
                        "Where the time goes",
                        "Mean time of each stage of a task: waiting in Kafka, being handled, fetching the page.",
                        [
                            *(
                                Query(
                                    expr=_mean("kafka_message_wait_seconds", f'{{topic="{topic}"}}'),
                                    legend=f"message {title}",
                                )
                                for topic, title in topics.items()
                            ),
                            *(
                                Query(
                                    expr=_mean("kafka_message_processing_seconds", f'{{topic="{topic}"}}'),
                                    legend=f"message of {topic} is handled",
                                )
                                for topic in topics
                            ),
                            Query(expr=_mean("crawler_fetch_duration_seconds"), legend="of it: the page is fetched"),
                        ],
                        unit="s",
                    ),
                    timeseries(
                        "Pages, by outcome",
                        "What the crawler was asked for.",
                        [Query(expr=rate("crawler_pages_total", _WINDOW, "outcome"), legend="{{outcome}}")],
                        unit="reqps",
                        stacked=True,
                    ),
                    timeseries(
                        "Messages put aside",
                        "To the dead letters, a second: they cannot be handled, however often they come.",
                        [
                            Query(
                                expr=f"sum by (job) (rate(kafka_messages_consumed_total{{{MESSAGES},"
                                f'outcome="dead_letter"}}[{_WINDOW}])) or 0 * sum by (job) (kafka_consumer_partitions)',
                                legend="{{job}}",
                            )
                        ],
                        unit="reqps",
                    ),
                ),
            ),
            Row(
                title="Traces and lines",
                panels=(
                    traces(
                        settings,
                        "Tasks whose page could not be fetched",
                        "Traces with a failed span of the crawler.",
                        TraceSearch(service="web-crawler", failed=True),
                        normally_empty="every page could be fetched.",
                    ),
                    *(
                        (
                            logs(
                                "What the task-manager did",
                                "A line for each operation; its trace is one click away.",
                                '{service_name="task-manager"} |~ "task: "',
                            ),
                        )
                        if settings.logs.enabled
                        else ()
                    ),
                ),
            ),
        ),
    )
