"""Faults of services, Alertmanager, Kafka, database and dependencies, and the alerts that they raise."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Final

from service.crawler.unreachable import UnreachableSites
from tests.support.alert_cases.faults import (
    ACCEPTED,
    CRAWL,
    ENTRY,
    REQUEST,
    SENDING,
    SENT,
    STATEMENT,
    STATUS,
    STORED,
    Case,
    case,
    failing_spans,
    slow,
    start_time,
    stopped,
)
from tests.support.alert_cases.metrics import (
    CRAWLER,
    FAULT,
    MANAGER,
    REQUESTS,
    SPANS,
    Change,
    add,
    change,
    constant,
    counted,
    gone,
    histogram,
    replace,
    since,
    stops,
    then,
)
from tests.support.alert_cases.normal_traffic import DAY
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


def _routes_with_ids(seconds: int) -> Change:
    """Return the fault: the gateway counts each task as a route of its own; one is new after so many seconds."""

    def apply(series: dict[str, Value]) -> None:
        new: dict[str, Value] = {}
        for number in range(100):
            labels = REQUEST.replace("/api/tasks", f"/api/tasks/{number}")
            route = histogram("http_server_request_duration_seconds", labels, REQUESTS, 0.004)
            route[f'http_server_requests_total{{{labels},status="200"}}'] = constant(1)
            begin = FAULT + seconds * number
            new |= {name: _begins(begin, constant(0 if value(1000) == 0 else 1)) for name, value in route.items()}
        series.update(new)
        replace(
            ("scrape_samples_post_metric_relabeling", "gateway"),
            lambda now: 400 + len(new) // 100 * ((now - FAULT) // seconds + 1),
        )(series)

    return apply


def _begins(begin: float, value: Value) -> Value:
    return lambda now: value(now) if now >= begin else None


def _sites_without_answer(users: int) -> Change:
    """Return the fault: a site each three seconds does not answer, asked for by one of the users in turn."""

    def sites(seconds: float) -> float:
        unreachable = UnreachableSites()
        for number in range(int(max(0.0, seconds - FAULT) // 3)):
            unreachable.add_failure(f"user-{number % users}", f"site-{number}")
        return unreachable.count

    return replace("crawler_unreachable_sites", sites)


_QUERIER: Final = 'up{{job="trace-store",instance="querier-{}",workload="tempo-querier"}}'
_SCHEDULER: Final = 'up{job="trace-store",instance="scheduler-0",workload="tempo-backend-scheduler"}'


CASES: Final[Mapping[str, Case]] = {
    # A Collector that answers, a store that accepts, ten requests per second.
    "healthy": case(after_0="", after_600="", after_1900=""),
    "healthy, with samplers": case(stack="with samplers", after_0="", after_600="", after_1900=""),
    "healthy, with the users' own services": case(stack="with own services", after_0="", after_600="", after_1900=""),
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
        replace(("up{", "gateway-1"), constant(0)), stack="with samplers", after_240="", after_330="ServiceDegraded"
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
    "the log store is down": case(
        replace(("up{", "log-store"), constant(0)),
        # Thirty log lines per second wait.
        replace(("queue_size", "collector", 'data_type="logs"'), lambda seconds: (seconds - FAULT) * 30),
        after_45="LogStoreDown",
    ),
    "one of three log stores is missing": case(
        replace(("up{", "log-store-1"), constant(0)), stack="with samplers", after_240="", after_330="ServiceDegraded"
    ),
    "two of three log stores are missing": case(
        replace(("up{", "log-store-1"), constant(0)),
        replace(("up{", "log-store-2"), constant(0)),
        stack="with samplers",
        after_45="LogStoreDown",
    ),
    "one of two pods of a part of the trace store is missing": case(
        add({_QUERIER.format(0): constant(1), _QUERIER.format(1): then(constant(1), constant(0))}), after_240=""
    ),
    "no pod of a part of the trace store answers": case(
        add({_QUERIER.format(number): then(constant(1), constant(0)) for number in (0, 1)}), after_45="TraceStoreDown"
    ),
    "the part of the trace store that compacts blocks is missing": case(
        add({_SCHEDULER: then(constant(1), constant(0))}), after_240=""
    ),
    "the object storage of the traces is unavailable": case(
        change("tempo_block_builder_flushed_blocks", stops),
        stack="with samplers",
        after_90="",
        after_420="ObjectStorageFails",
    ),
    "the object storage of the logs is unavailable": case(
        replace("loki_objstore_bucket_operation_failures_total", since(0.05)),
        stack="with samplers",
        after_180="ObjectStorageFails",
    ),
    "metrics are missing": case(
        change("db_client_connection_pool_size", gone), after_90="", after_150="MetricsMissing"
    ),
    "the series of a pod grow without limit": case(
        _routes_with_ids(seconds=8), after_480="", after_660="SamplesNearLimit"
    ),
    "a target without a limit": case(replace(("scrape_sample_limit", "gateway"), constant(0)), after_240=""),
    "a background loop fails again and again": case(
        add({_LOOP_FAILURES: since(0.1)}), after_15="", after_60="BackgroundFailures"
    ),
    "a background loop fails three times between two scrapes": case(
        # The process is new; its other counters are 0.
        add({_LOOP_FAILURES: constant(3), _LOOP_FAILURES.replace("consume-task-status", "health"): constant(0)}),
        after_15="BackgroundFailures",
        after_400="",
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
        replace("prometheus_rule_evaluation_failures_total", since(0.1)),
        # A query that takes too long.
        replace("prometheus_rule_group_last_duration_seconds", constant(120)),
        after_120="RulesFail",
    ),
    # --- notifications
    "Alertmanager is down": case(
        replace(("up{", "alertmanager"), constant(0)), after_15="", after_45="AlertmanagerDown"
    ),
    "Prometheus does not find Alertmanager": case(
        replace("alertmanagers_discovered", constant(0)), after_120="", after_210="AlertsNotSent"
    ),
    "alerts are dropped again and again": case(
        replace("notifications_dropped", since(0.1)),
        # Alertmanager refuses all that are sent.
        replace("notifications_errors", since(0.1)),
        after_120="",
        after_240="AlertsNotSent",
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
        slow("http_server_request_duration_seconds", REQUEST, 2.0),
        # Kafka acknowledges late.
        slow("traces_span_metrics_duration_milliseconds", SENDING, 1900, "milliseconds"),
        after_15="",
        after_120="RequestsSlow",
    ),
    "requests take half the time they may": case(
        slow("http_server_request_duration_seconds", REQUEST, 0.4), after_120="", after_600=""
    ),
    "hardly any request": dataclasses.replace(
        case(
            change("http_server_requests_total", lambda _: counted(REQUESTS, 0)),
            after_240="",
            after_900="TrafficDropped",
        ),
        begins=-DAY,
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
        slow("task_duration_seconds", f'{MANAGER},status="completed"', 31),
        after_30="",
        after_300="ErrorBudgetBurns TasksSlow",
    ),
    "web sites answer slowly": case(
        # The only crawler fetches a page in five seconds, so messages wait for it, and so do tasks.
        slow("crawler_fetch_duration_seconds", CRAWLER, 5, rate=0.2),
        slow("kafka_message_processing_seconds", CRAWL, 5, rate=0.2),
        slow("kafka_message_wait_seconds", CRAWL, 30, rate=0.2),
        change(("kafka_messages_consumed_total", "requests-web-crawl"), lambda _: counted(REQUESTS, 0.2)),
        change(('outcome="completed"', "crawler_pages_total"), lambda _: counted(REQUESTS, 0.2)),
        replace(("kafka_consumer_lag_messages", "requests-web-crawl"), lambda now: (now - FAULT) * (REQUESTS - 0.2)),
        slow("task_duration_seconds", f'{MANAGER},status="completed"', 36, rate=0.2),
        after_30="",
        after_300="LagGrows MessagesWait TasksSlow",
    ),
    "a task is stuck": case(
        replace("web_crawl_tasks_oldest_seconds", lambda seconds: seconds - FAULT), after_300="", after_420="TasksStuck"
    ),
    # --- Kafka
    "a consumer stopped": case(
        change(("kafka_message_processing_seconds", "requests-web-crawl"), stops),
        change(("kafka_messages_consumed_total", "requests-web-crawl"), stops),
        # The rate is over one minute.
        after_30="",
        after_90="ConsumerStopped",
    ),
    "no message is sent or handled": case(
        change("kafka_message", lambda value: then(value, lambda _: value(FAULT))), after_120="", after_600=""
    ),
    "no partition is assigned": case(replace("kafka_consumer_partitions", constant(0)), after_60="ConsumerUnassigned"),
    "a partition has no leader": case(
        replace("kafka_partitions_offline", constant(1)), after_15="", after_60="PartitionsOffline"
    ),
    "a partition has no leader, then no broker answers": case(
        replace("kafka_partitions_offline", lambda seconds: 1 if seconds - FAULT < 30 else math.nan),
        after_60="",
        after_120="",
    ),
    "a broker is restarted": case(
        replace("kafka_partitions_under_replicated", lambda seconds: 30 if seconds - FAULT < 120 else 0),
        after_120="",
        after_600="",
    ),
    "a broker stays stopped": case(
        replace("kafka_partitions_under_replicated", constant(30)), after_120="", after_600="ReplicasMissing"
    ),
    "consumers are too slow": case(
        # The only consumer needs 0.2 s for each.
        slow("kafka_message_processing_seconds", STATUS, 0.2, rate=5),
        change(("kafka_messages_consumed_total", "task-status"), lambda _: counted(REQUESTS, 5)),
        replace(("kafka_consumer_lag_messages", "task-status"), lambda seconds: (seconds - FAULT) * 5),
        after_120="LagGrows",
    ),
    "a message is retried again and again": case(
        # The message blocks its partition, one of three.
        add({f'kafka_messages_consumed_total{{{STATUS},outcome="retried"}}': since(0.2)}),
        change(
            ("kafka_messages_consumed_total", "task-status", "completed"), lambda _: counted(REQUESTS, REQUESTS * 2 / 3)
        ),
        replace(("kafka_consumer_lag_messages", "task-status"), lambda seconds: (seconds - FAULT) * REQUESTS / 3),
        after_120="LagGrows",
    ),
    "a backlog is worked off": case(
        replace(("kafka_consumer_lag_messages", "task-status"), lambda seconds: max(0, 3000 - (seconds - FAULT) * 5)),
        after_300="",
    ),
    "messages wait after a rebalance": case(
        # For twenty seconds no consumer has a partition; then the consumers work off what has come.
        replace(("kafka_consumer_partitions", "task-status"), lambda now: 3 * (now >= FAULT + 20)),
        replace(
            ("kafka_consumer_lag_messages", "task-status"),
            lambda now: max(0, min((now - FAULT) * REQUESTS, 200 - (now - FAULT - 20) * 3)),
        ),
        slow("kafka_message_wait_seconds", STATUS, 20, lasts=90),
        after_15="",
        after_120="MessagesWait",
    ),
    "messages cannot be sent": case(
        add({'kafka_messages_produced_total{job="gateway",topic="task-status",outcome="failure"}': since(1)}),
        after_45="SendingFails",
    ),
    "three messages cannot be sent between two scrapes": case(
        add({'kafka_messages_produced_total{job="gateway",topic="task-status",outcome="failure"}': constant(3)}),
        after_15="SendingFails",
        after_400="",
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
        replace("db_client_connection_timeouts_total", since(2)),
        replace("db_client_connection_count", constant(10)),
        slow("db_client_connection_wait_seconds", f'{MANAGER},pool="tasks"', 4),
        after_120="PoolExhausted",
    ),
    # --- dependencies
    "half the web pages answer with errors": case(
        failing_spans(("web-crawler", '"GET"'), 0.5), after_60="", after_300="", after_900=""
    ),
    "a tenth of the calls between services fails": case(
        failing_spans(("send requests-web-crawl",), 0.1), after_60="DependencyFails"
    ),
    # --- services of users
    "requests to a service of a user take too long": case(
        slow("traces_span_metrics_duration_milliseconds", ENTRY, 2000, "milliseconds"),
        slow("traces_span_metrics_duration_milliseconds", SENDING, 1900, "milliseconds"),
        stack="with own services",
        after_15="",
        after_120="ServiceSlow",
    ),
    "a service of a user gets no messages": case(
        change(("traces_span_metrics", "web-crawler"), stops),
        # Two of ten spans were made by it.
        *(change(part, lambda _: counted(SPANS, SPANS * 0.8)) for part in (ACCEPTED, SENT, STORED)),
        stack="with own services",
        after_240="",
        after_900="ServiceQuiet",
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
