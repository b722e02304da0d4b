"""Are messages sent, read and handled?"""

from dashboards.board import Board, Row
from dashboards.panels import Limits, Query, Search, graph, number, traces
from dashboards.queries import MESSAGES, quantile, rate
from stack.settings import Settings

_WINDOW = "$__rate_interval"


def kafka(settings: Settings) -> Board:
    """Throughput, lag, waiting and handling of each topic; what fails, comes again or is put aside."""
    wait = settings.objectives.message_seconds
    nothing = "0 * sum by (job) (kafka_consumer_partitions)"
    return Board(
        uid="kafka",
        title="Kafka",
        question="Are messages sent, read and handled, and how long do they wait?",
        rows=(
            Row(
                title="Now",
                panels=(
                    number(
                        "Messages behind",
                        "Messages that were sent and not handled yet.",
                        Query(expr="sum by (topic) (kafka_consumer_lag_messages)", legend="{{topic}}"),
                        unit="short",
                        limits=Limits(20, 100),
                        width=8,
                    ),
                    number(
                        "Partitions that are read",
                        "By all consumers of a topic; 0 is nobody.",
                        Query(expr="sum by (topic) (kafka_consumer_partitions)", legend="{{topic}}"),
                        unit="short",
                        limits=Limits(None, 1, rising=False),
                        width=8,
                    ),
                    number(
                        "p95 from sent to handled",
                        "95 % of the messages wait at most this long until their handling begins.",
                        Query(
                            expr=quantile(0.95, "kafka_message_wait_seconds_bucket", _WINDOW, "topic"),
                            legend="{{topic}}",
                        ),
                        unit="s",
                        limits=Limits(wait / 2, wait),
                        width=8,
                    ),
                ),
            ),
            Row(
                title="Flow",
                panels=(
                    graph(
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
                    graph(
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
                    graph(
                        "Lag",
                        "Messages behind the last one, by topic and partition.",
                        [
                            Query(
                                expr="sum by (topic, partition) (kafka_consumer_lag_messages)",
                                legend="{{topic}} {{partition}}",
                            )
                        ],
                        unit="short",
                        limits=Limits(None, 100),
                    ),
                    graph(
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
                        limits=Limits(None, wait),
                    ),
                    graph(
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
                    graph(
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
                        Search(service="task-manager", failed=True),
                        empty="every message was handled.",
                    ),
                ),
            ),
        ),
    )
