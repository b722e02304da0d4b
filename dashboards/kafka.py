"""The dashboard *Kafka*: are messages sent, read and handled, and how long do they wait?"""

from typing import Final

from contracts import service_metrics
from contracts.metrics import JOB, OUTCOME, PARTITION, TOPIC
from contracts.services import TASK_MANAGER
from dashboards.config import MonitoringConfig
from dashboards.dashboard import Dashboard, Row
from dashboards.panels import Panel, Query, Thresholds, TraceSearch, about_dots, per_second, stat, timeseries, traces
from dashboards.queries import NOT_DEAD_LETTER, RATE_INTERVAL, buckets, counted, equals, quantile, rate, series

_P95_WAIT: Final = quantile(0.95, buckets(service_metrics.MESSAGE_WAIT), "5m", TOPIC)


def lag(_: MonitoringConfig) -> Panel:
    """Messages that wait to be handled."""
    return stat(
        "Consumer lag",
        "Messages that were sent and are not handled yet.",
        Query(expr=f"sum by ({TOPIC}) ({service_metrics.CONSUMER_LAG})", legend="{{topic}}"),
        unit="short",
        thresholds=Thresholds(20, 100),
        width=8,
    )


def assigned_partitions(_: MonitoringConfig) -> Panel:
    """Partitions that consumers read."""
    return stat(
        "Assigned partitions",
        "Partitions of each topic that its consumers read. 0: no consumer reads the topic.",
        Query(expr=counted(service_metrics.CONSUMER_PARTITIONS, TOPIC), legend="{{topic}}"),
        unit="short",
        thresholds=Thresholds(None, 1, rising=False),
        width=8,
    )


def p95_wait(config: MonitoringConfig) -> Panel:
    """95th percentile of the time that messages wait."""
    limit = config.objectives.message_seconds
    return stat(
        "p95 wait",
        "95 % of the messages of the last 5 minutes waited at most this long until their handling began.",
        Query(expr=_P95_WAIT, legend="{{topic}}"),
        unit="s",
        thresholds=Thresholds(limit / 2, limit),
        width=8,
    )


def sent(_: MonitoringConfig) -> Panel:
    """Messages that Kafka accepted."""
    produced = series(
        service_metrics.MESSAGES_PRODUCED, equals(OUTCOME, service_metrics.OUTCOME_SUCCESS), NOT_DEAD_LETTER
    )
    return timeseries(
        "Messages sent",
        "Messages per second that Kafka accepted, by topic and sender.",
        [Query(expr=rate(produced, RATE_INTERVAL, TOPIC, JOB), legend="{{job}} → {{topic}}")],
        unit=per_second("messages"),
    )


def handled(_: MonitoringConfig) -> Panel:
    """Messages that consumers handled, by outcome."""
    expr = rate(service_metrics.MESSAGES_CONSUMED, RATE_INTERVAL, TOPIC, OUTCOME)
    return timeseries(
        "Messages handled",
        "Messages per second, by topic and outcome. A `retried` message is handled again until it succeeds.",
        [Query(expr=expr, legend="{{topic}}: {{outcome}}")],
        unit=per_second("messages"),
    )


def lag_by_partition(_: MonitoringConfig) -> Panel:
    """Messages that wait in each partition."""
    return timeseries(
        "Consumer lag, by partition",
        "Messages that were sent and are not handled yet.",
        [
            Query(
                expr=f"sum by ({TOPIC}, {PARTITION}) ({service_metrics.CONSUMER_LAG})", legend="{{topic}} {{partition}}"
            )
        ],
        unit="short",
        thresholds=Thresholds(None, 100),
    )


def wait(config: MonitoringConfig) -> Panel:
    """Time that messages wait, with exemplars."""
    return timeseries(
        "Wait of messages",
        f"p95 of the time from sending a message until its handling begins. {about_dots(config)}",
        [Query(expr=_P95_WAIT, legend="{{topic}}", exemplars=True)],
        unit="s",
        thresholds=Thresholds(None, config.objectives.message_seconds),
    )


def handling_time(config: MonitoringConfig) -> Panel:
    """Time to handle a message."""
    expr = quantile(0.95, buckets(service_metrics.MESSAGE_PROCESSING), RATE_INTERVAL, TOPIC)
    return timeseries(
        "Handling time",
        f"p95 of the time to handle a message. {about_dots(config)}",
        [Query(expr=expr, legend="{{topic}}", exemplars=True)],
        unit="s",
    )


def failures(_: MonitoringConfig) -> Panel:
    """Messages that were not sent, were retried or were dead-lettered."""
    zero = f"0 * sum by ({JOB}) ({service_metrics.CONSUMER_PARTITIONS})"

    def rate_of(selector: str) -> str:
        return f"{rate(selector, RATE_INTERVAL, JOB)} or {zero}"

    unsent = series(service_metrics.MESSAGES_PRODUCED, f'{OUTCOME}!="{service_metrics.OUTCOME_SUCCESS}"')
    retried = series(service_metrics.MESSAGES_CONSUMED, equals(OUTCOME, service_metrics.OUTCOME_RETRIED))
    dead = series(service_metrics.MESSAGES_CONSUMED, equals(OUTCOME, service_metrics.OUTCOME_DEAD_LETTER))
    return timeseries(
        "Failed sends, retries and dead letters",
        "Messages per second that Kafka did not accept, that are handled again, and that were dead-lettered.",
        [
            Query(expr=rate_of(unsent), legend="{{job}}: not sent"),
            Query(expr=rate_of(retried), legend="{{job}}: retried"),
            Query(expr=rate_of(dead), legend="{{job}}: dead-lettered"),
        ],
        unit=per_second("messages"),
    )


def replicas(_: MonitoringConfig) -> Panel:
    """Partitions that miss a replica or a leader."""
    return timeseries(
        "Partitions without all replicas",
        "Partitions of which a replica is not in sync, and partitions without a leader, as the services see them.",
        [
            Query(expr=f"max({service_metrics.UNDER_REPLICATED_PARTITIONS})", legend="under-replicated"),
            Query(expr=f"max({service_metrics.OFFLINE_PARTITIONS})", legend="offline"),
        ],
        unit="short",
        thresholds=Thresholds(None, 1),
    )


def failed_traces(config: MonitoringConfig) -> Panel | None:
    """Traces with a failed span of the task-manager."""
    return traces(
        config,
        "Messages that could not be handled",
        "Traces in which a span of the task-manager failed.",
        TraceSearch(service=TASK_MANAGER, failed=True),
        normally_empty="every message was handled.",
    )


DASHBOARD: Final = Dashboard(
    uid="kafka",
    title="Kafka",
    only_of_services=True,
    question="Are messages sent, read and handled, and how long do they wait?",
    rows=(
        Row("Now", (lag, assigned_partitions, p95_wait)),
        Row("Flow", (sent, handled, lag_by_partition, wait, handling_time, failures, replicas)),
        Row("Traces", (failed_traces,)),
    ),
)
