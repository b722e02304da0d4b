"""Are messages sent, read and handled?"""

from dashboards.dashboard import Dashboard, Row
from dashboards.panels import Query, Thresholds, TraceSearch, stat, timeseries, traces
from dashboards.queries import MESSAGES, quantile, rate
from stack.settings import Settings

_WINDOW = "$__rate_interval"


def kafka(settings: Settings) -> Dashboard:
    """Throughput, lag, waiting and handling of each topic; what fails, comes again or is put aside."""
    wait = settings.objectives.message_seconds
    nothing = "0 * sum by (job) (kafka_consumer_partitions)"
    return Dashboard(
        uid="kafka",
        title="Kafka",
        question="Are messages sent, read and handled, and how long do they wait?",
        rows=(
            Row(
                title="Now",
                panels=(
                    stat(
                        "Messages behind",
                        "Messages that were sent and not handled yet.",
                        Query(expr="sum by (topic) (kafka_consumer_lag_messages)", legend="{{topic}}"),
                        unit="short",
                        thresholds=Thresholds(20, 100),
                        width=8,
                    ),
                    stat(
                        "Partitions that are read",
                        "By all consumers of a topic; 0 is nobody.",
                        Query(expr="sum by (topic) (kafka_consumer_partitions)", legend="{{topic}}"),
                        unit="short",
                        thresholds=Thresholds(None, 1, rising=False),
                        width=8,
                    ),
                    stat(
                        "p95 from sent to handled",
                        "95 % of the messages wait at most this long until their handling begins.",
                        Query(
                            expr=quantile(0.95, "kafka_message_wait_seconds_bucket", _WINDOW, "topic"),
                            legend="{{topic}}",
                        ),
                        unit="s",
                        thresholds=Thresholds(wait / 2, wait),
                        width=8,
                    ),
                ),
            ),
            Row(
                title="Flow",
                panels=(
                    timeseries(
                        "Sent",
                        "Messages a second that Kafka has taken, by topic and sender.",
                        [
                            Query(
                                expr=rate(
                                    f'kafka_messages_produced_total{{outcome="success",{MESSAGES}}}',
                                    _WINDOW,
                                    "topic, job",
                                ),
                                legend="{{job}} → {{topic}}",
                            )
                        ],
                        unit="reqps",
                    ),
                    timeseries(
                        "Handled",
                        "Messages a second, by topic and outcome. `retried` comes again until it succeeds.",
                        [
                            Query(
                                expr=rate("kafka_messages_consumed_total", _WINDOW, "topic, outcome"),
                                legend="{{topic}}: {{outcome}}",
                            )
                        ],
                        unit="reqps",
                    ),
                    timeseries(
                        "Lag",
                        "Messages behind the last one, by topic and partition.",
                        [
                            Query(
                                expr="sum by (topic, partition) (kafka_consumer_lag_messages)",
                                legend="{{topic}} {{partition}}",
                            )
                        ],
                        unit="short",
                        thresholds=Thresholds(None, 100),
                    ),
                    timeseries(
                        "From sent to handled",
                        "How long messages wait, p95. A dot is a trace: click it.",
                        [
                            Query(
                                expr=quantile(0.95, "kafka_message_wait_seconds_bucket", _WINDOW, "topic"),
                                legend="{{topic}}",
                                exemplars=True,
                            )
                        ],
                        unit="s",
                        thresholds=Thresholds(None, wait),
                    ),
                    timeseries(
                        "Handling",
                        "How long it takes, p95. A dot is a trace: click it.",
                        [
                            Query(
                                expr=quantile(0.95, "kafka_message_processing_seconds_bucket", _WINDOW, "topic"),
                                legend="{{topic}}",
                                exemplars=True,
                            )
                        ],
                        unit="s",
                    ),
                    timeseries(
                        "Trouble",
                        "A second: messages that Kafka did not take, that come again, and that were put aside.",
                        [
                            Query(
                                expr=rate('kafka_messages_produced_total{outcome!="success"}', _WINDOW, "job")
                                + f" or {nothing}",
                                legend="{{job}} could not send",
                            ),
                            Query(
                                expr=rate('kafka_messages_consumed_total{outcome="retried"}', _WINDOW, "job")
                                + f" or {nothing}",
                                legend="{{job}} tries again",
                            ),
                            Query(
                                expr=rate('kafka_messages_consumed_total{outcome="dead_letter"}', _WINDOW, "job")
                                + f" or {nothing}",
                                legend="{{job}} put aside",
                            ),
                        ],
                        unit="reqps",
                    ),
                ),
            ),
            Row(
                title="Traces",
                panels=(
                    traces(
                        settings,
                        "Messages that could not be handled",
                        "Traces with a failed span of a consumer.",
                        TraceSearch(service="task-manager", failed=True),
                        normally_empty="every message was handled.",
                    ),
                ),
            ),
        ),
    )
