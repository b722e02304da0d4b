"""Do tasks come to their end, and where do they wait?"""

from dashboards.board import Board, Row
from dashboards.panels import Limits, Query, Search, graph, lines, number, traces
from dashboards.queries import MESSAGES, quantile, rate, share
from stack.settings import Settings

_WINDOW = "$__rate_interval"


def _mean(histogram: str, selector: str = "") -> str:
    return f"sum(rate({histogram}_sum{selector}[{_WINDOW}])) / sum(rate({histogram}_count{selector}[{_WINDOW}]))"


def tasks(settings: Settings) -> Board:
    """Created, ended and open tasks; the time from creation to end and its parts."""
    goals = settings.objectives
    in_time = f'task_duration_seconds_bucket{{le="{float(goals.task_seconds)}"}}'
    topics = {"task-status": "waits for the task-manager", "requests-web-crawl": "waits for the crawler"}
    return Board(
        uid="tasks",
        title="Tasks",
        question="Do tasks come to their end, and where do they wait?",
        rows=(
            Row(
                title="Now",
                panels=(
                    number(
                        "Created",
                        "Tasks a second.",
                        rate('task_operations_total{operation="create task"}', _WINDOW),
                        unit="reqps",
                    ),
                    number(
                        "In time",
                        f"Share of the tasks that ended within {goals.task_seconds} s of their creation.",
                        share(in_time, "task_duration_seconds_count", _WINDOW),
                        unit="percentunit",
                        limits=Limits(1 - (1 - goals.tasks_in_time) / 2, goals.tasks_in_time, rising=False),
                        decimals=2,
                    ),
                    number(
                        "Failed",
                        "Share of the tasks that ended with an error, whoever's it is.",
                        share('task_duration_seconds_count{status="failed"}', "task_duration_seconds_count", _WINDOW),
                        unit="percentunit",
                        limits=Limits(0.05, 0.2),
                    ),
                    number(
                        "Open",
                        "Tasks of the last hour that have not come to their end.",
                        'max(web_crawl_tasks{status="new",window="1h"})',
                        unit="short",
                        limits=Limits(100, 1000),
                    ),
                    number(
                        "Oldest open one",
                        "Its age.",
                        "max(web_crawl_tasks_oldest_seconds)",
                        unit="s",
                        limits=Limits(goals.task_seconds, 10 * goals.task_seconds),
                    ),
                    number(
                        "p95 from creation to end",
                        "95 % of the tasks take at most this long.",
                        quantile(0.95, "task_duration_seconds_bucket", _WINDOW),
                        unit="s",
                        limits=Limits(goals.task_seconds / 2, goals.task_seconds),
                    ),
                ),
            ),
            Row(
                title="Flow",
                panels=(
                    graph(
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
                    graph(
                        "Tasks, by status",
                        "Of the last hour.",
                        [Query(expr='max by (status) (web_crawl_tasks{window="1h"})', legend="{{status}}")],
                        unit="short",
                        stacked=True,
                    ),
                    graph(
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
                        limits=Limits(None, goals.task_seconds),
                    ),
                    graph(
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
                    graph(
                        "Pages, by outcome",
                        "What the crawler was asked for.",
                        [Query(expr=rate("crawler_pages_total", _WINDOW, "outcome"), legend="{{outcome}}")],
                        unit="reqps",
                        stacked=True,
                    ),
                    graph(
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
                        Search(service="web-crawler", failed=True),
                        empty="every page could be fetched.",
                    ),
                    *(
                        (
                            lines(
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
