"""Alerts on messages: are they sent, are they handled, and how long do they wait?"""

from typing import Final

from contracts import service_metrics
from contracts.metrics import JOB, OUTCOME, TOPIC
from contracts.services import CRAWLER, TASK_MANAGER
from contracts.topics import CRAWL_TOPIC
from dashboards.config import MonitoringConfig
from dashboards.queries import NOT_DEAD_LETTER, buckets, equals, exact_increase, rate, series, slow
from dashboards.rules.model import AlertRule, RuleGroup

# Each of the two topics has one kind of consumer.
_CONSUMER: Final = f'{{{{ if eq $labels.topic "{CRAWL_TOPIC}" }}}}{CRAWLER}{{{{ else }}}}{TASK_MANAGER}{{{{ end }}}}'
_LAG: Final = f"sum by ({TOPIC}) ({service_metrics.CONSUMER_LAG})"


def kafka(config: MonitoringConfig) -> RuleGroup:
    """Return the alerts on producers, consumers and the messages between them."""
    rules = (
        _consumer_stopped(),
        _consumer_unassigned(),
        _lag_grows(),
        _messages_wait(config),
        _sending_fails(),
        _dead_letters(),
        _partitions_offline(),
        _partitions_under_replicated(),
    )
    return RuleGroup(name="kafka", rules=rules if config.services else ())


def _consumer_stopped() -> AlertRule:
    messages = series(
        service_metrics.MESSAGES_PRODUCED, equals(OUTCOME, service_metrics.OUTCOME_SUCCESS), NOT_DEAD_LETTER
    )
    sent = rate(messages, "1m", TOPIC)
    handled = rate(f"{service_metrics.MESSAGE_PROCESSING}_count", "1m", TOPIC)
    return AlertRule(
        name="ConsumerStopped",
        # At night there is one message in a minute, and a slow web site may hold it for ten seconds.
        query=f"{sent} > 0 and on ({TOPIC}) {exact_increase(messages, '1m', TOPIC)} >= 3"
        f" unless on ({TOPIC}) {handled} > 0",
        for_="15s",
        severity="page",
        summary="No consumer handles the messages of {{ $labels.topic }}",
        description="{{ $value | humanize }} messages per second are sent, and none is handled.",
        dashboard="kafka",
        service=_CONSUMER,
    )


def _consumer_unassigned() -> AlertRule:
    return AlertRule(
        name="ConsumerUnassigned",
        query=f"sum by ({TOPIC}) ({service_metrics.CONSUMER_PARTITIONS}) == 0",
        for_="30s",
        severity="page",
        summary="No consumer has a partition of {{ $labels.topic }}",
        description="The consumers run, but their group has assigned no partition to them.",
        dashboard="kafka",
        service=_CONSUMER,
    )


def _lag_grows() -> AlertRule:
    return AlertRule(
        name="LagGrows",
        query=f"{_LAG} > 100 and deriv({_LAG}[2m:15s]) > 0",
        for_="1m",
        # The derivative of a lag changes its sign while consumers almost keep up.
        keep_firing_for="2m",
        severity="page",
        summary="The consumers of {{ $labels.topic }} are too slow",
        description="{{ $value | humanize }} messages wait, and their number grows.",
        dashboard="kafka",
        service=_CONSUMER,
    )


def _messages_wait(config: MonitoringConfig) -> AlertRule:
    wait, messages = buckets(service_metrics.MESSAGE_WAIT), f"{service_metrics.MESSAGE_WAIT}_count"
    return AlertRule(
        name="MessagesWait",
        query=slow(wait, messages, "2m", config.objectives.message_seconds, (0.95, 0.5), TOPIC),
        for_="30s",
        # A backlog that shrinks in waves crosses the limit many times.
        keep_firing_for="2m",
        severity="page",
        summary="Messages of {{ $labels.topic }} wait too long",
        description="One message in twenty waits {{ $value | humanizeDuration }} or longer before it is handled.",
        dashboard="kafka",
        service=_CONSUMER,
    )


def _sending_fails() -> AlertRule:
    unsent = series(service_metrics.MESSAGES_PRODUCED, f'{OUTCOME}!="{service_metrics.OUTCOME_SUCCESS}"')
    return AlertRule(
        name="SendingFails",
        # One or two messages fail while a broker restarts; their requests are answered with 503.
        query=f"{exact_increase(unsent, '1m', JOB, TOPIC)} >= 3",
        for_="10s",
        # With little traffic there are seconds in which nothing is sent, so nothing fails.
        keep_firing_for="1m",
        severity="page",
        summary="{{ $labels.job }} cannot send messages to {{ $labels.topic }}",
        description="Kafka did not accept {{ $value }} messages of the last minute.",
        dashboard="kafka",
    )


def _dead_letters() -> AlertRule:
    dead = series(service_metrics.MESSAGES_CONSUMED, equals(OUTCOME, service_metrics.OUTCOME_DEAD_LETTER))
    return AlertRule(
        name="DeadLetters",
        query=f"{exact_increase(dead, '5m', JOB, TOPIC)} > 0",
        for_="0s",
        severity="ticket",
        summary="{{ $labels.job }} dead-lettered messages of {{ $labels.topic }}",
        description="{{ $value }} messages of the last 5 minutes cannot be handled, however often they are tried.",
        dashboard="kafka",
    )


def _partitions_offline() -> AlertRule:
    return AlertRule(
        name="PartitionsOffline",
        query=f"max({service_metrics.OFFLINE_PARTITIONS}) > 0",
        # If a broker is killed, the controller elects other leaders after 6 s, the session timeout of a broker.
        for_="30s",
        severity="page",
        summary="{{ $value }} partitions of Kafka have no leader",
        description="Their messages can be neither sent nor read, because no broker with all of them runs.",
        dashboard="kafka",
    )


def _partitions_under_replicated() -> AlertRule:
    return AlertRule(
        name="ReplicasMissing",
        query=f"max({service_metrics.UNDER_REPLICATED_PARTITIONS}) > 0",
        # A broker that is restarted, as in an update, catches up within a minute or two.
        for_="5m",
        severity="ticket",
        summary="{{ $value }} partitions of Kafka miss a replica",
        description="A broker is stopped, or does not keep up. If another one stops, messages cannot be sent.",
        dashboard="kafka",
    )
