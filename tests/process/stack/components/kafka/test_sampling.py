"""Tail sampling with real programs, from a Collector through Kafka and two samplers to the store: whole traces."""

import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from checks.harness.collector import CollectorProcess, MissingProgram
from checks.harness.collector_with_sampler import create_span_topic
from checks.harness.kafka import KafkaBrokers
from checks.harness.receiver import Receiver, receiving
from collector.pipeline import KafkaTarget, OtlpTarget, Pipeline, Sampler, render, render_sampler
from stack.components.kafka.settings import Kafka
from stack.polling import poll_until
from tests.support.programs import skipping
from tests.support.sampled_traces import COUNT, RATIO, SPANS, assert_sampled, missing, requests, trace_id

PARTITIONS = 4
SAMPLERS = 2
GROUP = "sampler"
NOT_YET = (
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
)
"""What a broker answers until it coordinates a new group."""
SPANS_READ = "otelcol_receiver_accepted_spans_total"


def stored(store: Receiver, run: int) -> dict[int, int]:
    """Return number of a trace → its spans in the store."""
    numbers = {trace_id(run, number): number for number in range(COUNT)}
    spans = {(span.trace_id, span.span_id) for span in store.spans()}
    return Counter(numbers[trace] for trace, _ in spans)


def is_whole(traces: dict[int, int]) -> bool:
    """Whether all are there that are always kept, and none is there in part."""
    return not missing(traces) and set(traces.values()) == {SPANS}


def share_the_topic(admin: AdminClient) -> bool:
    """Whether each sampler has partitions: one that joins later would take spans of traces that another has begun."""
    (future,) = admin.describe_consumer_groups([GROUP]).values()
    try:
        group = future.result()
    except KafkaException as error:
        if error.args[0].code() in NOT_YET:
            return False
        raise
    members = [member for member in group.members if member.assignment.topic_partitions]
    return group.state == ConsumerGroupState.STABLE and len(members) == SAMPLERS


def test_failed_slow_and_checked_traces_are_kept_whole_and_a_share_of_the_rest(
    brokers: KafkaBrokers, tmp_path: Path
) -> None:
    brokers.configure(Kafka(brokers=1))
    brokers.start(0)
    brokers.wait(0)
    create_span_topic(brokers.bootstrap_servers, PARTITIONS)
    kafka, run = KafkaTarget(brokers.bootstrap_servers), time.time_ns()
    with skipping("otelcol-contrib", MissingProgram), receiving() as store, ExitStack() as running:
        pipeline = Pipeline(
            trace_store=OtlpTarget("127.0.0.1:9"),
            metric_stores=[OtlpTarget("http://127.0.0.1:9", "http")],
            queue_size=10_000,
            sampled_through=kafka,
        )
        sampling = Sampler(
            trace_store=OtlpTarget(f"127.0.0.1:{store.port}"),
            kafka=kafka,
            queue_size=10_000,
            ratio=RATIO,
            errors=True,
            slow_ms=1000,
            decision_wait_seconds=30,
            traces=10_000,
        )
        collector = CollectorProcess(tmp_path / "collector", render(pipeline))
        names = [f"sampler-{number}" for number in range(SAMPLERS)]
        samplers = [CollectorProcess(tmp_path / name, render_sampler(sampling)) for name in names]
        for process in (collector, *samplers):
            running.callback(process.kill)
            process.start()
        admin = AdminClient({"bootstrap.servers": brokers.bootstrap_servers})
        poll_until("both samplers to share the topic", lambda: share_the_topic(admin), seconds=60)
        for request in requests(run):
            collector.send(request)

        def all_are_read() -> bool:
            return sum(sampler.metric(SPANS_READ) for sampler in samplers) >= COUNT * SPANS

        poll_until("the samplers to read all spans", all_are_read, seconds=60)
        # A sampler that is stopped decides on all that it has. It sends it then, or when it starts again.
        for sampler in samplers:
            sampler.stop()
            sampler.start()
        poll_until("whole traces in the store", lambda: is_whole(stored(store, run)), seconds=60)
        assert_sampled(stored(store, run))
