"""Messages: are they sent, are they read, and how long do they wait."""

from contracts import endpoints
from contracts.topics import CRAWL_TOPIC
from dashboards.queries import MESSAGES, grown, quantile, rate
from dashboards.rules.model import AlertRule, RuleGroup
from stack.settings import Settings

_ASIDE = 'kafka_messages_consumed_total{outcome="dead_letter"}'
# Of two topics; each has one kind of consumer.
_CRAWL = f'{{{{ if eq $labels.topic "{CRAWL_TOPIC}" }}}}{endpoints.CRAWLER}'
_CONSUMER = f"{_CRAWL}{{{{ else }}}}{endpoints.TASK_MANAGER}{{{{ end }}}}"
_LAG = "sum by (topic) (kafka_consumer_lag_messages)"


def kafka(settings: Settings) -> tuple[RuleGroup, ...]:
    """Alerts on producers, consumers and the way between them."""
    sent = rate(f'kafka_messages_produced_total{{outcome="success",{MESSAGES}}}', "1m", "topic")
    handled = rate("kafka_message_processing_seconds_count", "1m", "topic")
    unsent = 'kafka_messages_produced_total{outcome!="success"}'
    return (
        RuleGroup(
            name="kafka",
            rules=(
                AlertRule(
                    name="ConsumerStopped",
                    query=f"{sent} > 0 unless on (topic) {handled} > 0",
                    for_="15s",
                    severity="page",
                    summary="Nobody handles the messages of {{ $labels.topic }}",
                    description="{{ $value | humanize }} messages a second are sent, and none is handled.",
                    dashboard="kafka",
                    service=_CONSUMER,
                ),
                AlertRule(
                    name="ConsumerUnassigned",
                    query="sum by (topic) (kafka_consumer_partitions) == 0",
                    for_="30s",
                    severity="page",
                    summary="No consumer has a partition of {{ $labels.topic }}",
                    description="The consumers run, and the group has given them nothing to read.",
                    dashboard="kafka",
                    service=_CONSUMER,
                ),
                AlertRule(
                    name="LagGrows",
                    query=f"{_LAG} > 100 and deriv({_LAG}[2m:15s]) > 0",
                    for_="1m",
                    severity="page",
                    summary="The consumers of {{ $labels.topic }} fall behind",
                    description="{{ $value | humanize }} messages wait, and more every minute.",
                    dashboard="kafka",
                    service=_CONSUMER,
                ),
                AlertRule(
                    name="MessagesWait",
                    query=f"{quantile(0.95, 'kafka_message_wait_seconds_bucket', '2m', 'topic')}"
                    f" > {settings.objectives.message_seconds}",
                    for_="30s",
                    severity="page",
                    summary="Messages of {{ $labels.topic }} wait too long",
                    description="One in twenty is handled {{ $value | humanizeDuration }} after it was sent, or later.",
                    dashboard="kafka",
                    service=_CONSUMER,
                ),
                AlertRule(
                    name="SendingFails",
                    query=f"{grown(unsent, '1m', 'job, topic')} > 0",
                    for_="10s",
                    severity="page",
                    summary="{{ $labels.job }} cannot send to {{ $labels.topic }}",
                    description="{{ $value }} messages of the last minute were not taken by Kafka.",
                    dashboard="kafka",
                ),
                AlertRule(
                    name="DeadLetters",
                    query=f"{grown(_ASIDE, '5m', 'job, topic')} > 0",
                    for_="0s",
                    severity="ticket",
                    summary="{{ $labels.job }} put messages of {{ $labels.topic }} aside",
                    description="{{ $value }} within five minutes: they cannot be handled, however often they come.",
                    dashboard="kafka",
                ),
            ),
        ),
    )
