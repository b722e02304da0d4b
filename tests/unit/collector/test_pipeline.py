"""The rendered configurations keep the rules that prevent the loss of spans."""

from typing import Any

import pytest
import yaml

from collector.pipeline import KafkaTarget, OtlpTarget, Pipeline, Sampler, render, render_sampler

Config = dict[str, Any]


def collector(**changes: Any) -> Config:
    """The configuration of the Collectors that take the spans."""
    values: Config = {
        "trace_store": OtlpTarget("tempo:4317"),
        "metric_stores": [OtlpTarget("http://prometheus:9090/api/v1/otlp", "http")],
        "queue_size": 5000,
    }
    document: Config = yaml.safe_load(render(Pipeline(**values | changes)))
    return document


def sampler(**changes: Any) -> Config:
    """The configuration of the samplers."""
    values: Config = {
        "trace_store": OtlpTarget("tempo:4317"),
        "kafka": KafkaTarget("kafka:9092"),
        "queue_size": 5000,
        "ratio": 0.1,
        "errors": True,
        "slow_ms": 1000,
        "decision_wait_seconds": 30,
        "traces": 1000,
    }
    document: Config = yaml.safe_load(render_sampler(Sampler(**values | changes)))
    return document


ALL = [
    pytest.param(collector(), id="everything stored"),
    pytest.param(
        collector(sampled_through=KafkaTarget("kafka:9092"), log_store=OtlpTarget("http://loki:3100/otlp", "http")),
        id="sampled, with logs",
    ),
    pytest.param(sampler(), id="sampler"),
]


def queues(config: Config) -> dict[str, Config]:
    """Exporters that send somewhere; Prometheus fetches, so its exporter has nothing to keep."""
    return {name: exporter for name, exporter in config["exporters"].items() if name != "prometheus"}


@pytest.mark.parametrize("config", ALL)
def test_the_limiter_is_first_and_nothing_is_batched_outside_of_the_queues(config: Config) -> None:
    for pipeline in config["service"]["pipelines"].values():
        if pipeline["receivers"] != ["span_metrics"]:
            assert pipeline["processors"][0] == "memory_limiter"
        assert not [name for name in pipeline.get("processors", []) if name.startswith("batch")]


@pytest.mark.parametrize("config", ALL)
def test_every_queue_is_on_disk_and_never_gives_up(config: Config) -> None:
    assert queues(config)
    for exporter in queues(config).values():
        queue = exporter["sending_queue"]
        assert (queue["storage"], queue["block_on_overflow"]) == ("file_storage/queue", True)
        assert exporter["retry_on_failure"]["max_elapsed_time"] == 0
    assert config["extensions"]["file_storage/queue"]["fsync"] is True


@pytest.mark.parametrize("config", ALL)
def test_a_connection_ends_when_its_receiver_is_lost_with_its_node(config: Config) -> None:
    """Otherwise requests go to the lost receiver until the kernel gives up, after a quarter of an hour."""
    grpc = [exporter for name, exporter in config["exporters"].items() if name.startswith("otlp_grpc/")]
    assert all(exporter["keepalive"] == {"time": "10s", "timeout": "5s"} for exporter in grpc)


@pytest.mark.parametrize("config", ALL)
def test_everything_that_is_configured_is_used(config: Config) -> None:
    service = config["service"]
    for kind in ("receivers", "processors", "exporters"):
        used = {name for pipeline in service["pipelines"].values() for name in pipeline.get(kind, [])}
        assert set(config[kind]) <= used
    assert set(config["extensions"]) == set(service["extensions"])


def test_span_metrics_are_counted_before_sampling_and_after_redaction() -> None:
    pipelines = collector(sampled_through=KafkaTarget("kafka:9092"))["service"]["pipelines"]
    assert "span_metrics" in pipelines["traces"]["exporters"]
    assert {"redaction/keys", "redaction/values"} < set(pipelines["traces"]["processors"])
    assert "tail_sampling" not in pipelines["traces"]["processors"]


def test_both_protocols_ask_for_the_token() -> None:
    for protocol in collector()["receivers"]["otlp"]["protocols"].values():
        assert protocol["auth"]["authenticator"] == "bearertokenauth"


def test_sampled_spans_go_through_kafka_by_trace_and_others_straight_to_the_store() -> None:
    exporters = collector(sampled_through=KafkaTarget("kafka:9092"))["exporters"]
    assert exporters["kafka/traces"]["partition_traces_by_id"] is True
    assert exporters["kafka/traces"]["producer"]["required_acks"] == -1
    assert "otlp_grpc/traces" not in exporters
    assert "kafka/traces" not in collector()["exporters"]


def test_policies_are_those_asked_for() -> None:
    def names(**changes: Any) -> list[str]:
        return [policy["name"] for policy in sampler(**changes)["processors"]["tail_sampling"]["policies"]]

    assert names() == ["checks", "errors", "slow", "ratio"]
    assert names(errors=False, slow_ms=None) == ["checks", "ratio"]
