"""The faults of Kafka and Postgres, and of the ways to them."""

from collections.abc import Mapping
from typing import Final

from checks.faults.changes import DROP, filtered, share, stopped, to_port
from checks.faults.database import connections_taken, password_changed, table_locked
from checks.faults.model import HARD_SECONDS, Evidence, Fault
from checks.faults.topics import topic_deleted
from contracts import endpoints
from contracts.services import CRAWLER, TASK_MANAGER
from contracts.topics import STATUS_TOPIC

_REMOVED_RULE: Final = "The rules of iptables in the pod are removed."
_SCALED: Final = "The StatefulSet is scaled to its number of pods."
_SLOW: Final = (
    "histogram_quantile(0.95, sum by (le) (rate(traces_span_metrics_duration_milliseconds_bucket"
    '{span_kind="SPAN_KIND_CLIENT",db_system_name!=""}[1m]))) > 150'
)
_NO_DATABASE: Final = 'max by (dependency) (dependency_up{job="task-manager",dependency="postgres"}) == 0'
_FAILING: Final = (
    'sum(rate(traces_span_metrics_calls_total{span_kind="SPAN_KIND_CLIENT",db_system_name!="",'
    'status_code="STATUS_CODE_ERROR"}[1m])) > 0'
)

FAULTS: Final[Mapping[str, Fault]] = {
    "slow-statements": Fault(
        title="another session locks the table of the tasks most of the time",
        plan=table_locked,
        hops=("postgres", "task-manager-postgres"),
        causes=("lock",),
        hints=(
            "Reading tasks is slow, and tasks take long.",
            "Which spans of a slow trace are long?",
            "What do the statements wait for? pg_stat_activity has wait_event_type.",
        ),
        evidence=Evidence(
            dashboard="Database",
            panel="p95 duration, by statement",
            query=_SLOW,
            trace="The spans SELECT, INSERT and UPDATE take up to a second. pg_blocking_pids names the session.",
            runbook="StatementsSlow",
        ),
        undo="The session ends.",
        alerts=frozenset({"StatementsSlow"}),
    ),
    "packet-loss": Fault(
        title="a third of the task-manager's packets to Postgres is lost",
        plan=filtered(TASK_MANAGER, [*to_port(endpoints.POSTGRES_PORT), *share(0.33), *DROP]),
        hops=("task-manager-postgres",),
        causes=("packet-loss", "cut-off"),
        hints=(
            "Reading tasks is slow, and tasks take long.",
            "The statements are slow in the task-manager. Are they slow in the server too?",
            "No statement waits for a lock. The durations jump by 0.2, 0.4 and 0.8 s: packets are sent again.",
        ),
        evidence=Evidence(
            dashboard="Database",
            panel="p95 duration, by statement",
            query=_SLOW,
            trace="Statements take 0.2, 0.4 or 0.8 s longer, at random. pg_stat_activity shows no wait for a lock.",
            runbook="StatementsSlow",
        ),
        undo=_REMOVED_RULE,
        alerts=frozenset({"StatementsSlow", "RequestsSlow", "DependencyDown", "StatementsFail"}),
    ),
    "postgres-down": Fault(
        title="Postgres has no pod",
        plan=stopped(endpoints.POSTGRES),
        hops=("postgres", "task-manager-postgres"),
        causes=("stopped",),
        hints=(
            "Reading tasks fails; creating tasks works.",
            "The task-manager runs. What does it depend on? Look at the panel Dependencies.",
            "kubectl -n tracing get statefulsets: which one has 0 replicas?",
        ),
        evidence=Evidence(
            dashboard="Services",
            panel="Dependencies",
            query=_NO_DATABASE,
            trace="The task-manager's statements fail with OperationalError.",
            runbook="DependencyDown",
        ),
        undo=_SCALED,
        alerts=frozenset({"DependencyDown", "StatementsFail"}),
        seconds=HARD_SECONDS,
    ),
    "wrong-password": Fault(
        title="the database's password was changed, and the task-manager has the old one",
        plan=password_changed,
        hops=("task-manager-postgres", "postgres", "task-manager"),
        causes=("wrong-secret",),
        hints=(
            "Reading tasks fails; creating tasks works.",
            "Postgres runs. Why does it not accept the task-manager?",
            "The task-manager's log, and the log of postgres-0, have the reason.",
        ),
        evidence=Evidence(
            dashboard="Services",
            panel="Dependencies",
            query=_NO_DATABASE,
            trace="The log line 'The database is unavailable' has 'password authentication failed'.",
            runbook="StatementsFail",
        ),
        undo="The database gets the password of the Secret.",
        alerts=frozenset({"DependencyDown", "StatementsFail"}),
    ),
    "too-many-connections": Fault(
        title="another program uses all connections of the database",
        plan=connections_taken,
        hops=("postgres", "task-manager-postgres"),
        causes=("connections",),
        hints=(
            "Reading tasks fails; creating tasks works.",
            "Postgres runs. Why does it not accept the task-manager?",
            "The words at the end of the log line 'The database is unavailable' are from Postgres.",
        ),
        evidence=Evidence(
            dashboard="Database",
            panel="Error ratio",
            query=f"{_NO_DATABASE} or {_FAILING}",
            trace="The log line 'The database is unavailable' has 'FATAL: sorry, too many clients already' or 'FATAL: "
            "remaining connection slots are reserved'; so has the log of postgres-0.",
            runbook="StatementsFail",
        ),
        undo="The other program closes its connections.",
        alerts=frozenset({"DependencyDown", "StatementsFail"}),
    ),
    "kafka-down": Fault(
        title="Kafka has no pod",
        plan=stopped(endpoints.KAFKA),
        hops=("kafka", "gateway-kafka", "crawler-kafka"),
        causes=("stopped",),
        hints=(
            "Creating tasks fails.",
            "All services report errors. What do they have in common?",
            "kubectl -n tracing get statefulsets: which one has 0 replicas?",
        ),
        evidence=Evidence(
            dashboard="Services",
            panel="Dependencies",
            query='max by (dependency) (dependency_up{job="gateway",dependency="kafka"}) == 0',
            trace="The gateway's span 'send task-status' has an error.",
            runbook="DependencyDown",
        ),
        undo=_SCALED,
        alerts=frozenset({"DependencyDown", "SendingFails", "ConsumerUnassigned"}),
        seconds=HARD_SECONDS,
    ),
    "consumer-stopped": Fault(
        title="the crawler's packets to Kafka are dropped",
        plan=filtered(
            CRAWLER,
            [*to_port(endpoints.KAFKA_PORT), *DROP],
            [*to_port(endpoints.KAFKA_TLS_PORT), *DROP],
        ),
        hops=("crawler-kafka",),
        causes=("cut-off",),
        hints=(
            "Tasks are accepted and stay new.",
            "Where do the messages wait? The dashboard Kafka shows the lag of each topic.",
            "The other services use Kafka. Only the crawler does not reach it.",
        ),
        evidence=Evidence(
            dashboard="Kafka",
            panel="Messages handled",
            query='max by (dependency) (dependency_up{job="web-crawler",dependency="kafka"}) == 0'
            ' or sum(rate(kafka_message_processing_seconds_count{topic="requests-web-crawl"}[30s])) == 0',
            trace="New traces end at the task-manager's span 'send requests-web-crawl'.",
            runbook="ConsumerStopped",
        ),
        undo=_REMOVED_RULE,
        alerts=frozenset({"ConsumerStopped", "DependencyDown"}),
        seconds=HARD_SECONDS,
    ),
    "topic-deleted": Fault(
        title="the topic task-status was deleted",
        plan=topic_deleted(STATUS_TOPIC),
        hops=("kafka", "gateway-kafka"),
        causes=("topic-missing",),
        hints=(
            "Creating tasks fails after some seconds; reading tasks works.",
            "Kafka runs, and one topic works. Why does it not take the gateway's messages?",
            "The code in the gateway's log line 'Kafka is unavailable' is from the Kafka client.",
        ),
        evidence=Evidence(
            dashboard="Kafka",
            panel="Failed sends, retries and dead letters",
            query='sum(rate(kafka_messages_produced_total{topic="task-status",outcome!="success"}[1m])) > 0'
            ' and on () max(dependency_up{job="gateway",dependency="kafka"}) == 1',
            trace="The gateway's span 'send task-status' has an error: _UNKNOWN_TOPIC. No span follows it.",
            runbook="SendingFails",
        ),
        undo="The topic is created again, with as many partitions as before, and empty.",
        alerts=frozenset({"SendingFails", "ConsumerUnassigned", "DependencyFails"}),
        seconds=HARD_SECONDS,
    ),
}
