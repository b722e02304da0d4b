"""Sizes for a load, compared with what is computed by hand from round figures."""

from typing import Any

import pytest

from stack.capacity.figures import QUANTITIES, Figure
from stack.capacity.provider import Limits
from stack.capacity.sizes import Conditions, Sizes, sizes
from stack.settings import parse
from stack.settings.tree import Load
from tests.support.configuration import config

BUCKET = {"s3": {"bucket": "traces", "endpoint": "s3.example.com"}}
VALUES = {
    "collector.complete": 50_000.0,  # 20 µs a span
    "collector.onePass": 100_000.0,
    "path.collector": 40.0,
    "path.onePass": 20.0,
    "path.sampler": 80.0,
    "path.kafka": 10.0,
    "path.kafkaIdle": 0.0,
    "path.kafkaBytes": 100.0,
    "jaeger.cpu": 100.0,
    "jaeger.idle": 0.0,
    "jaeger.bytes": 1000.0,
    "tempo.cpu": 50.0,
    "tempo.idle": 0.0,
    "tempo.blockCpu": 90_000.0,
    "tempo.bytes": 100.0,
    "tempo.blockBytes": 180_000.0,
}
FIGURES = {
    name: Figure(value=VALUES.get(name, 1.0), low=0, high=0, rounds=1, date="2026-01-01", machine="m", version="v")
    for name in QUANTITIES
}


def needed(
    rate: float, *, limits: Limits | None = None, outage: float = 3600, peak: float = 1, **sections: Any
) -> Sizes:
    """The sizes for so many traces/s of ten spans."""
    conditions = Conditions(
        settings=parse(config(**sections), "test"), figures=FIGURES, limits=limits or Limits(), outage_seconds=outage
    )
    return sizes(Load(traces_per_second=rate, spans_per_trace=10, peak=peak), conditions)


def test_collectors_have_the_cpu_for_the_peak_and_one_to_spare() -> None:
    # 1,000 traces/s x 10 spans x 20 µs = 0.2 cores, at the peak 1; a pod of 100m is busy with 0.08: 13, and one.
    values = needed(1000, peak=5).values
    assert (values["collector.replicas"], values["collector.cpu"]) == (14, "100m")


def test_pods_grow_when_there_may_be_no_more_of_them() -> None:
    # 100,000 spans/s x 20 µs x 5 = 10 cores: 125 pods of 100m are too many for 49, 63 of 200m too, 32 of 400m are not.
    values = needed(10_000, peak=5).values
    assert (values["collector.replicas"], values["collector.cpu"]) == (33, "400m")
    assert values["collector.memory"] == "2Gi"  # 512Mi for 100m


def test_the_queue_has_room_for_an_outage_of_the_store() -> None:
    # 10,000 spans/s of 3 Collectors for 600 s: 2,000,000 each, of 3 KiB each with the compaction and the other queues.
    values = needed(1000, outage=600, collector={"replicas": 3, "cpu": "1"}).values
    assert values["collector.replicas"] == 3
    assert values["collector.queueSize"] == 2_000_000
    assert values["collector.queueVolume"] == "8Gi"


def test_an_autoscaler_has_the_peak_and_the_declared_pods_the_average() -> None:
    result = needed(1000, peak=5, collector={"autoscaling": {"maxReplicas": 2}})
    values = result.values
    assert (values["collector.replicas"], values["collector.autoscaling.maxReplicas"]) == (4, 14)
    # The peak keeps 13 busy. They stay, because the autoscaler removes none.
    assert result.collectors == 13


def test_an_autoscaler_can_add_a_pod_where_the_average_is_the_peak() -> None:
    # 195,000 spans/s x 20 µs = 3.9 cores: 49 pods of 100m, and one, which are all that the settings allow.
    values = needed(19_500, collector={"autoscaling": {"maxReplicas": 2}}).values
    assert (values["collector.replicas"], values["collector.autoscaling.maxReplicas"]) == (49, 50)


@pytest.mark.parametrize(("image", "replicas"), [(None, 6), ("registry.example.com/collector:1", 4)])
def test_the_collectors_of_the_project_need_half(image: str | None, replicas: int) -> None:
    # 10,000 spans/s x 40 µs = 0.4 cores: 5 pods of 100m, and one; with 20 µs 3, and one.
    collector = {"sampling": {"ratio": 0.1, "memory": "4Gi"}, **({"image": image} if image else {})}
    assert needed(1000, outage=1, collector=collector).values["collector.replicas"] == replicas


def test_samplers_read_the_same_number_of_partitions_each() -> None:
    # 10,000 spans/s x 80 µs = 0.8 cores: 10 pods of 100m, and one; 11 is the smallest multiple that is not below 11.
    values = needed(1000, outage=1, collector={"sampling": {"ratio": 0.1}}).values
    assert (values["collector.sampling.replicas"], values["kafka.partitions"]) == (11, 11)


def test_samplers_have_memory_for_the_traces_that_wait() -> None:
    # 4,000 traces/s x 30 s = 120,000 traces x 20 KiB = 2.3 GiB, of which 2 samplers have half of 4 GiB each.
    sampling = {"ratio": 0.1, "replicas": 2, "cpu": "4"}
    values = needed(4000, outage=1, collector={"sampling": sampling}).values
    assert (values["collector.sampling.replicas"], values["collector.sampling.memory"]) == (2, "4Gi")


def test_kafka_has_room_for_an_outage_in_the_half_that_the_topic_may_use() -> None:
    # 10,000 spans/s x 100 bytes x 3,600 s = 3.35 GiB, and twice that; the volume has 5 GiB.
    values = needed(1000, collector={"sampling": {"ratio": 0.1}}).values
    assert values["kafka.volume"] == "10Gi"
    # Its CPU: 10,000 x 10 µs = 0.1 cores, of 0.8 of which 200m are busy with 0.16.
    assert values["kafka.cpu"] == "200m"


def test_an_external_kafka_has_partitions_and_room_but_no_limits() -> None:
    sections: dict[str, Any] = {
        "kafka": {"external": {"bootstrapServers": "kafka.example.com:9092"}},
        "collector": {"sampling": {"ratio": 0.1}},
    }
    result = needed(1000, limits=Limits(volume="5Gi"), **sections)
    assert result.values["collector.sampling.replicas"] == result.values["kafka.partitions"] == 11
    assert result.values["kafka.volume"] == "10Gi"
    assert "kafka.cpu" not in result.values
    assert "kafka.volume" not in result.bounds


def test_kafka_has_room_for_each_partition() -> None:
    # 21 partitions of 128 MiB each, in the half that the topic may use: 5.25 GiB. The spans of an hour need less.
    sampling = {"ratio": 0.1, "cpu": "4", "replicas": 7}
    values = needed(1, kafka={"partitions": 20, "volume": "5Gi"}, collector={"sampling": sampling}).values
    assert (values["kafka.partitions"], values["kafka.volume"]) == (21, "10Gi")


def test_a_broker_writes_no_more_than_its_volume_takes() -> None:
    # 1 MiB/s are 10,486 spans/s of 100 bytes.
    limits = Limits(volume_mebibytes_per_second=1)
    sections: dict[str, Any] = {"collector": {"sampling": {"ratio": 0.1}}}
    assert "kafka.brokers" not in needed(1048, limits=limits, **sections).bounds
    bound = needed(1049, limits=limits, **sections).bounds["kafka.brokers"]
    assert bound.reason == "each of the brokers writes all spans, and a volume takes 1 MiB/s"


def test_a_limit_says_where_it_comes_from() -> None:
    rate = 1e6
    default = needed(rate, traces={"backend": "jaeger"}).bounds
    assert default["traces.cpu"].reason == "one pod needs more than 8 cores"
    assert default["traces.cpu"].source == "default of limits.podCores, half of a node of 16 cores"
    assert default["traces.volume"].source.startswith("default of limits.volume, a gp3 volume of AWS: https://")
    bounds = needed(rate, limits=Limits(pod_cores=1, volume="1Ti"), traces={"backend": "jaeger"}).bounds
    assert bounds["collector.cpu"].reason == "49 pods of 1 cores are too few"
    assert bounds["collector.cpu"].source == "limits.podCores of the provider's file"
    assert bounds["traces.volume"].source == "limits.volume of the provider's file"


def test_a_single_store_has_the_volume_for_the_retention() -> None:
    # 1 trace/s x 10 spans x 1,000 bytes x 336 h = 11.3 GiB; doubled from 10 GiB.
    values = needed(1, traces={"backend": "jaeger"}).values
    assert values["traces.volume"] == "20Gi"
    # 1,000 spans/s x 100 µs = 0.1 cores, in a pod of 100m that is busy with 0.08.
    assert needed(100, traces={"backend": "jaeger"}).values["traces.cpu"] == "200m"


def test_the_volume_of_tempo_has_room_for_what_blocks_have_besides_their_spans() -> None:
    # 1.21 GB for a trace/s, and 672 blocks of 180 kB: 10 GiB are enough for 8.777 traces/s, without blocks for 8.877.
    assert needed(8.75).values["traces.volume"] == "10Gi"
    assert needed(8.85).values["traces.volume"] == "20Gi"


def test_a_single_store_ends_with_its_volume() -> None:
    limits = Limits(volume="20Gi")
    assert needed(1, limits=limits, traces={"backend": "jaeger"}).bounds == {}
    assert "traces.volume" in needed(2, limits=limits, traces={"backend": "jaeger"}).bounds


def test_tempo_in_parts_stores_the_sampled_share() -> None:
    # 100,000 spans/s, of which a tenth is stored: 0.5 cores, 7 pods of 100m, and one. 8 readers, 2 samplers.
    values = needed(
        10_000,
        outage=1,
        collector={"cpu": "4", "sampling": {"ratio": 0.1, "cpu": "16", "memory": "16Gi"}},
        traces={"objectStorage": BUCKET, "distributed": {}},
    ).values
    assert values["traces.distributed.replicas"] == 8
    assert values["collector.sampling.replicas"] == 2
    assert values["kafka.partitions"] == 8


def test_a_limit_below_the_stack_file_makes_no_size_smaller() -> None:
    limits = Limits(pod_cores=1, pod_memory="64Mi", volume="1Gi")
    sampling = {"ratio": 0.1, "cpu": "2", "memory": "1Gi"}
    result = needed(1, outage=1, limits=limits, collector={"sampling": sampling})
    assert result.bounds == {}
    values = {name: result.values[f"collector.sampling.{name}"] for name in ("cpu", "memory", "queueVolume")}
    assert values == {"cpu": "2", "memory": "1Gi", "queueVolume": "2Gi"}


def test_no_size_is_smaller_than_in_the_stack_file() -> None:
    sections: dict[str, Any] = {
        "collector": {"replicas": 7, "cpu": "2"},
        "traces": {"backend": "jaeger", "volume": "100Gi"},
    }
    values = needed(0.001, **sections).values
    assert (values["collector.replicas"], values["collector.cpu"], values["traces.volume"]) == (7, "2", "100Gi")
