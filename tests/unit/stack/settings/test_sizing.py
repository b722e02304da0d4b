"""Settings that cannot work together are refused with the key, the value and what would be right."""

from typing import Any

import pytest

from contracts.section import quantity_bytes
from stack.capacity.figures import load as load_figures
from stack.settings import load, parse, sizing
from tests.support.configuration import config, refusal

BUCKET = {"s3": {"bucket": "traces", "endpoint": "s3.example.com"}}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"kafka": {"memory": "256Mi"}}, "kafka.memory: '256Mi' is less than 512Mi"),
        ({"collector": {"memory": "128Mi"}}, "collector.memory: '128Mi' is less than 192Mi"),
        (
            {"collector": {"sampling": {"ratio": 0.1, "memory": "64Mi"}}},
            "collector.sampling.memory: '64Mi' is less than 192Mi",
        ),
        ({"services": {"taskManager": {"memory": "64Mi"}}}, "services.taskManager.memory: '64Mi' is less than 128Mi"),
        ({"logs": {"memory": "64Mi"}}, "logs.memory: '64Mi' is less than 256Mi"),
        (
            {"tracing": {"bufferBytes": 268435456}},
            "tracing.bufferBytes: 268435456 and maxQueueSize 2048 need 260Mi; half of services.gateway.memory "
            "'192Mi' is 96Mi",
        ),
        (
            {"tracing": {"maxBatchSize": 3000, "maxQueueSize": 4000}, "collector": {"queueSize": 10_000}},
            "tracing.maxBatchSize: 3000 is more than 2500",
        ),
        (
            {
                "load": {"tracesPerSecond": 1, "spansPerTrace": 20_000},
                "collector": {"sampling": {"ratio": 0.01, "queueSize": 10_000}},
            },
            "load.spansPerTrace: 20000 is more than collector.sampling.queueSize 10000",
        ),
        ({"tracing": {"maxQueueSize": 100_000}}, "maxQueueSize 100000 need 211Mi"),
        (
            {"tracing": {"samplingRate": 0.1}},
            "tracing.samplingRate: 0.1 traces fewer operations than objectives.traced",
        ),
        (
            {"tracing": {"samplingRate": 0.98}, "objectives": {"traced": 0.99}},
            "tracing.samplingRate: 0.98 traces fewer operations than objectives.traced 0.99",
        ),
        (
            {"kafka": {"partitions": 64}, "collector": {"sampling": {"ratio": 0.1}}},
            "kafka.volume: '5Gi' leaves 40Mi for each of 64 partitions of the topic of collector.sampling; each "
            "needs 128Mi, so the volume 16384Mi",
        ),
        (
            {"kafka": {"partitions": 12}, "traces": {"objectStorage": BUCKET, "distributed": {}}},
            "kafka.volume: '5Gi' leaves 106Mi for each of 12 partitions of the topic of traces.distributed",
        ),
        (
            {"retention": "8760h", "services": {"enabled": False}},
            "metrics.volume: '10Gi' is less than the 19Gi or so that 4,600 series need in retention 8760h",
        ),
        (
            {"load": {"tracesPerSecond": 100}},
            "traces.volume: '10Gi' is less than the 163Gi or so that 100 traces/s of 16 spans need in retention 336h, "
            "at 90 bytes a span",
        ),
        ({"load": {"tracesPerSecond": 1}, "traces": {"backend": "jaeger"}}, "at 700 bytes a span"),
        (
            {"load": {"tracesPerSecond": 200}, "collector": {"sampling": {"ratio": 0.01}}},
            "collector.sampling.memory: '512Mi' holds 13,107 traces in all samplers; load.tracesPerSecond 200 at a "
            "peak of 5 times that brings 30,000 within decisionWaitSeconds 30",
        ),
        (
            {"collector": {"sampling": {"ratio": 0.1, "slowMs": 60_000}}},
            "collector.sampling: slowMs 60000 is not less than decisionWaitSeconds 30",
        ),
        ({"load": {"tracesPerSecond": 0}}, "load.tracesPerSecond: 0: input should be greater than 0"),
    ],
)
def test_what_cannot_work_is_refused(sections: dict[str, Any], message: str) -> None:
    assert message in refusal(**sections)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"tracing": {"samplingRate": 0.95}},
        {"tracing": {"samplingRate": 0.1}, "objectives": {"traced": 0.1}},
        {"tracing": {"samplingRate": 0.0, "enabled": False}},
        {"tracing": {"enabled": False, "bufferBytes": 268435456}},
        {"tracing": {"bufferBytes": 67108864}},
        {"logs": {"enabled": False, "memory": "64Mi"}},
        {"kafka": {"partitions": 256}},
        {"retention": "8760h", "metrics": {"volume": "100Gi"}},
        {"load": {"tracesPerSecond": 3}},
        {"load": {"tracesPerSecond": 1000}, "traces": {"objectStorage": BUCKET}},
        {"load": {"tracesPerSecond": 50}, "collector": {"sampling": {"ratio": 0.05, "policies": []}}},
        {"collector": {"sampling": {"ratio": 0.1, "slowMs": 60_000, "policies": ["errors"]}}},
    ],
)
def test_what_can_work_is_let_through(sections: dict[str, Any]) -> None:
    parse(config(**sections), "test")


def test_the_bytes_of_a_span_are_no_more_than_was_measured() -> None:
    figures = load_figures()
    for backend, span_bytes in sizing.SPAN_BYTES.items():
        assert 0.5 * figures[f"{backend}.bytes"].value < span_bytes <= figures[f"{backend}.bytes"].low


def test_everything_that_does_not_fit_is_named_at_once() -> None:
    message = refusal(kafka={"memory": "64Mi"}, tracing={"samplingRate": 0.5})
    assert "\n  kafka.memory: " in message
    assert "\n  tracing.samplingRate: " in message


@pytest.mark.parametrize("stack", ["local", "dev", "staging", "prod"])
def test_the_defaults_have_room_to_spare(stack: str) -> None:
    settings = load(stack)
    assert not list(sizing.problems(settings))
    tree = settings.model_dump(by_alias=True)
    for section, least in sizing.MEMORY.items():
        size: Any = tree
        for part in section.split("."):
            size = (size or {}).get(part)
        assert not size or quantity_bytes(size["memory"]) >= 1.25 * quantity_bytes(least), section
