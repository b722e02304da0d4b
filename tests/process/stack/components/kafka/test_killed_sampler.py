"""A sampler that is killed: what it loses, and how the spans that are still in Kafka are read again."""

import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, ConsumerGroupState, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from checks.chaos.requests import A_REQUEST, Requests
from checks.harness.collector import CollectorProcess, MissingProgram
from checks.harness.collector_with_sampler import collector_with_sampler, create_span_topic
from checks.harness.kafka import KafkaBrokers
from checks.harness.receiver import receiving
from collector.pipeline import TOPIC, KafkaTarget, OtlpTarget, Pipeline, Sampler
from stack.components.kafka.settings import Kafka
from stack.polling import poll_until
from tests.support.programs import skipping

DECISION_WAIT = 10
PARTITIONS = 3
GROUP = "sampler"
RESET = (
    "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    *("--reset-offsets", "--by-duration", "PT5M", "--topic", TOPIC, "--group", GROUP, "--execute"),
    "--bootstrap-server",
)


@pytest.fixture
def kafka(brokers: KafkaBrokers) -> KafkaBrokers:
    brokers.configure(Kafka(brokers=1))
    brokers.start(0)
    brokers.wait(0)
    create_span_topic(brokers.bootstrap_servers, PARTITIONS)
    return brokers


def running(
    directory: Path, kafka: KafkaBrokers, store_port: int
) -> AbstractContextManager[tuple[CollectorProcess, CollectorProcess]]:
    """A Collector and a sampler, which keeps every trace."""
    through = KafkaTarget(kafka.bootstrap_servers)
    pipeline = Pipeline(
        trace_store=OtlpTarget("127.0.0.1:9"),
        metric_stores=[OtlpTarget("http://127.0.0.1:9", "http")],
        queue_size=100_000,
        sampled_through=through,
    )
    sampler = Sampler(
        trace_store=OtlpTarget(f"127.0.0.1:{store_port}"),
        kafka=through,
        queue_size=100_000,
        ratio=1,
        errors=True,
        slow_ms=None,
        decision_wait_seconds=DECISION_WAIT,
        traces=10_000,
    )
    return collector_with_sampler(directory, pipeline, sampler)


def end_offsets(bootstrap_servers: str) -> dict[int, int]:
    """The number of messages of each partition of the topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "test"})
    try:
        parts = [TopicPartition(TOPIC, partition) for partition in range(PARTITIONS)]
        return {part.partition: consumer.get_watermark_offsets(part, timeout=10)[1] for part in parts}
    finally:
        consumer.close()


def committed_offsets(admin: AdminClient) -> dict[int, int]:
    """The committed offset of each partition from which the group has read; 0 for others."""
    (future,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP)]).values()
    offsets = dict.fromkeys(range(PARTITIONS), 0)
    return offsets | {part.partition: part.offset for part in future.result().topic_partitions}


def is_read(admin: AdminClient, bootstrap_servers: str, *, at_least: int) -> bool:
    """Whether so many messages are in the topic, and the group has committed them all."""
    ends = end_offsets(bootstrap_servers)
    return sum(ends.values()) >= at_least and committed_offsets(admin) == ends


def is_empty(admin: AdminClient) -> bool:
    """Whether the group has no member: Kafka resets the offsets of such a group only."""
    (future,) = admin.describe_consumer_groups([GROUP]).values()
    return bool(future.result().state == ConsumerGroupState.EMPTY)


def test_undecided_spans_of_a_killed_sampler_are_read_again_when_the_offsets_are_reset(
    kafka: KafkaBrokers, tmp_path: Path
) -> None:
    requests, half = Requests("killed"), 50
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    with (
        skipping("otelcol-contrib", MissingProgram),
        receiving() as store,
        running(tmp_path, kafka, store.port) as (collector, sampler),
    ):

        def stored() -> int:
            return len({span.span_id for span in store.spans()})

        for number in range(half):
            collector.send(requests.encode(number))
        poll_until("the first half in the store", lambda: stored() == half * A_REQUEST)
        for number in range(half, 2 * half):
            collector.send(requests.encode(number))
        servers = kafka.bootstrap_servers
        poll_until("the second half committed", lambda: is_read(admin, servers, at_least=2 * half), every=0.2)
        assert stored() == half * A_REQUEST, "the second half waits for its decision"
        sampler.kill()
        sampler.start()
        # The group knows the killed member for its session timeout.
        time.sleep(2 * DECISION_WAIT)
        assert stored() == half * A_REQUEST, "committed before the decision, so no sampler reads it again"

        sampler.stop()
        poll_until("an empty group", lambda: is_empty(admin))
        kafka.run(*RESET, servers)
        sampler.start()
        poll_until("every span in the store", lambda: stored() == 2 * half * A_REQUEST)
