"""Faults of services, Alertmanager, Kafka, database and dependencies, and the alerts that they raise."""

from collections.abc import Mapping
from typing import Final

from service.crawler.unreachable import UnreachableSites
from tests.support.alert_cases.faults import (
    REQUEST,
    STATEMENT,
    STATUS,
    Case,
    case,
    failing_spans,
    slow,
    start_time,
    stopped,
)
from tests.support.alert_cases.metrics import (
    FAULT,
    REQUESTS,
    Change,
    add,
    change,
    constant,
    counted,
    gone,
    replace,
    since,
    then,
)
from tests.support.promtool import Value

_LOOP_FAILURES: Final = (
    'background_loop_failures_total{job="task-manager",instance="task-manager-0",loop="consume-task-status"}'
)


def _pages(outcome: str, share: float) -> Change:
    """Return the fault: a share of the pages has this outcome."""
    labels = 'job="web-crawler",instance="web-crawler-0",outcome='

    def apply(series: dict[str, Value]) -> None:
        change(f'crawler_pages_total{{{labels}"completed"', lambda _: counted(REQUESTS, REQUESTS * (1 - share)))(series)
        replace(f'crawler_pages_total{{{labels}"{outcome}"', lambda seconds: (seconds - FAULT) * REQUESTS * share)(
            series
        )

    return apply


def _sites_without_answer(users: int) -> Change:
    """Return the fault: a site each three seconds does not answer, asked for by one of the users in turn."""

    def sites(seconds: float) -> float:
        unreachable = UnreachableSites()
        for number in range(int(max(0.0, seconds - FAULT) // 3)):
            unreachable.add_failure(f"user-{number % users}", f"site-{number}")
        return unreachable.count

    return replace("crawler_unreachable_sites", sites)


CASES: Final[Mapping[str, Case]] = {
    # A Collector that answers, a store that accepts, ten requests per second.
    "healthy": case(after_0="", after_600="", after_1900=""),
    "healthy, with samplers": case(sampled=True, after_0="", after_600="", after_1900=""),
    # --- availability
    "a service is down": case(
        stopped("gateway"),
        after_0="",
        after_45="ServiceDown",
        after_180="MetricsMissing ServiceDown",
    ),
    "Prometheus finds no pod of a service": case(
        change(("up{", 'job="web-crawler"'), gone),
        after_45="ServiceDown",
    ),
    "one of two pods is missing": case(
        replace(("up{", "gateway-1"), constant(0)), sampled=True, after_240="", after_330="ServiceDegraded"
    ),
    "a pod crashes again and again": case(
        replace(("process_start_time_seconds", "web-crawler"), start_time(20)), after_45="CrashLoop"
    ),
    "a pod restarted once": case(
        replace(("process_start_time_seconds", "web-crawler"), constant(FAULT)), after_45="", after_240=""
    ),
    "the database is unavailable": case(replace(("dependency_up", "postgres"), constant(0)), after_45="DependencyDown"),
    "a dependency is unavailable for a moment": case(
        change(("dependency_up", "postgres"), lambda _: lambda s: 0 if FAULT < s <= FAULT + 15 else 1), after_30=""
    ),
    "the trace store is down": case(replace(("up{", "trace-store"), constant(0)), after_45="TraceStoreDown"),
    "the log store is down": case(replace(("up{", "log-store"), constant(0)), after_45="LogStoreDown"),
    "metrics are missing": case(
        change("db_client_connection_pool_size", gone), after_90="", after_150="MetricsMissing"
    ),
    "the series of a pod grow without limit": case(
        replace(
            ("scrape_samples_post_metric_relabeling", "gateway"), lambda seconds: 400 + 10 * max(0.0, seconds - FAULT)
        ),
        after_60="",
        after_240="SamplesNearLimit",
    ),
    "a target without a limit": case(replace(("scrape_sample_limit", "gateway"), constant(0)), after_240=""),
    "a background loop fails again and again": case(
        add({_LOOP_FAILURES: since(0.1)}), after_15="", after_60="BackgroundFailures"
    ),
    "a background loop failed once": case(add({_LOOP_FAILURES: constant(1)}), after_60=""),
    "the receiver of the spans sends unreadable responses": case(
        add(
            {
                'tracing_export_errors_total{job="gateway",instance="gateway-0",signal="traces",kind="answer"}': since(
                    0.2
                )
            }
        ),
        after_60="BackgroundFailures",
    ),
    "rules cannot be evaluated": case(
        replace("prometheus_rule_evaluation_failures_total", since(0.1)), after_120="RulesFail"
    ),
    # --- notifications
    "Alertmanager is down": case(
        replace(("up{", "alertmanager"), constant(0)), after_15="", after_45="AlertmanagerDown"
    ),
    "Prometheus does not find Alertmanager": case(
        replace("alertmanagers_discovered", constant(0)), after_120="", after_210="AlertsNotSent"
    ),
    "alerts are dropped again and again": case(
        replace("notifications_dropped", since(0.1)), after_120="", after_240="AlertsNotSent"
    ),
    "Alertmanager restarted": case(replace("notifications_dropped", constant(5)), after_120="", after_300=""),
    "a notification fails": case(replace("notifications_failed", since(0.01)), after_60="NotificationsFail"),
    # --- services
    "five percent of the requests fail": case(
        failing_spans(("POST /api/tasks",), 0.05),
        after_120="ErrorRateHigh",
    ),
    "one percent of the requests fails": case(failing_spans(("POST /api/tasks",), 0.01), after_120="", after_600=""),
    "requests take too long": case(
        slow("http_server_request_duration_seconds", REQUEST, 2.0), after_15="", after_120="RequestsSlow"
    ),
    "requests take half the time they may": case(
        slow("http_server_request_duration_seconds", REQUEST, 0.4), after_120="", after_600=""
    ),
    "hardly any request": case(
        change("http_server_requests_total", lambda _: counted(REQUESTS, 0)), after_240="", after_900="TrafficDropped"
    ),
    "half the requests": case(
        change("http_server_requests_total", lambda _: counted(REQUESTS, REQUESTS / 2)), after_240="", after_900=""
    ),
    "the crawler fails at pages": case(_pages("failed", 1), after_45="CrawlsFail"),
    "the crawler fails at one page in ten": case(_pages("failed", 0.1), after_60="CrawlsFail"),
    "a tenth of the web pages cannot be fetched": case(_pages("error", 0.1), after_120="", after_600="", after_1900=""),
    "most web pages cannot be fetched": case(_pages("error", 0.9), after_120="", after_600="", after_1900="PagesFail"),
    "web sites do not answer, one after the other": case(
        _sites_without_answer(users=10),
        after_45="",
        after_120="WebUnreachable",
        after_600="WebUnreachable",
    ),
    "one user asks for sites that do not answer": case(
        _sites_without_answer(users=1), after_120="", after_600="", after_1900=""
    ),
    "some sites in a row do not answer": case(
        replace("crawler_unreachable_sites", lambda seconds: seconds % 9), after_120="", after_600=""
    ),
    "tasks take too long": case(
        slow("task_duration_seconds", 'job="task-manager",instance="task-manager-0",status="completed"', 31),
        after_30="",
        after_300="ErrorBudgetBurns TasksSlow",
    ),
    "a task is stuck": case(
        replace("web_crawl_tasks_oldest_seconds", lambda seconds: seconds - FAULT), after_300="", after_420="TasksStuck"
    ),
    # --- Kafka
    "a consumer stopped": case(
        change(("kafka_message_processing_seconds_count", "requests-web-crawl"), lambda _: counted(REQUESTS, 0)),
        # The rate is over one minute.
        after_30="",
        after_90="ConsumerStopped",
    ),
    "no message is sent or handled": case(
        change("kafka_message", lambda value: then(value, lambda _: value(FAULT))), after_120="", after_600=""
    ),
    "no partition is assigned": case(replace("kafka_consumer_partitions", constant(0)), after_60="ConsumerUnassigned"),
    "consumers are too slow": case(
        replace(("kafka_consumer_lag_messages", "task-status"), lambda seconds: (seconds - FAULT) * 5),
        after_120="LagGrows",
    ),
    "a backlog is worked off": case(
        replace(("kafka_consumer_lag_messages", "task-status"), lambda seconds: max(0, 3000 - (seconds - FAULT) * 5)),
        after_300="",
    ),
    "messages wait": case(slow("kafka_message_wait_seconds", STATUS, 20), after_15="", after_120="MessagesWait"),
    "messages cannot be sent": case(
        add({'kafka_messages_produced_total{job="gateway",topic="task-status",outcome="failure"}': since(1)}),
        after_45="SendingFails",
    ),
    "messages are dead-lettered": case(
        add(
            {'kafka_messages_consumed_total{job="task-manager",topic="task-status",outcome="dead_letter"}': constant(1)}
        ),
        after_15="DeadLetters",
        # It is notified once.
        after_400="",
    ),
    # --- database
    "statements are slow": case(
        slow("traces_span_metrics_duration_milliseconds", STATEMENT, 600, "milliseconds"),
        after_90="StatementsSlow",
    ),
    "statements fail": case(failing_spans(("INSERT web_crawl_tasks",), 0.2), after_45="DependencyFails StatementsFail"),
    "all connections are in use": case(
        replace("db_client_connection_count", constant(5)), after_45="", after_90="PoolExhausted"
    ),
    "no connection is free in time": case(
        replace("db_client_connection_timeouts_total", since(0.2)), after_120="PoolExhausted"
    ),
    # --- dependencies
    "half the web pages answer with errors": case(
        failing_spans(("web-crawler", '"GET"'), 0.5), after_60="", after_300="", after_900=""
    ),
    "a tenth of the calls between services fails": case(
        failing_spans(("send requests-web-crawl",), 0.1), after_60="DependencyFails"
    ),
    # --- objectives
    "a tenth of the requests fails": case(
        change("http_server_requests_total", lambda _: counted(REQUESTS, REQUESTS * 0.9)),
        add({f'http_server_requests_total{{{REQUEST},status="503"}}': since(REQUESTS / 10)}),
        after_30="",
        after_900="ErrorBudgetBurns",
    ),
    "one request in ten thousand fails": case(
        add({f'http_server_requests_total{{{REQUEST},status="503"}}': since(REQUESTS / 10_000)}),
        after_300="",
        after_900="",
    ),
}
