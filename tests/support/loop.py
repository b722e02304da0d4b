"""A consumer loop and its publisher, started, on a topic of their own."""

from __future__ import annotations

from collections.abc import Callable

from service.common.config import ServiceSettings
from service.common.kafka.consumer import ConsumerLoop, ConsumerTiming
from service.common.kafka.publisher import KafkaPublisher
from service.common.kafka.received import Received
from service.common.metrics import Metrics
from tests.support.service import Recorder


class Loop:
    """A consumer loop on a topic of its own, and what its handler saw."""

    def __init__(
        self,
        kafka: str,
        recorder: Recorder,
        topic: str,
        handler: Callable[[Received], str],
        abandon: Callable[[Received, str], None] | None = None,
        timing: ConsumerTiming | None = None,
    ) -> None:
        settings = ServiceSettings(kafka_bootstrap_servers=kafka)
        self.topic = topic
        self.metrics = Metrics()
        self.publisher = KafkaPublisher(
            settings, recorder.traces, self.metrics, client_id="loop", topics=(topic, f"{topic}.dead-letter")
        )
        self.loop = ConsumerLoop(
            topic=topic,
            group=f"group-{topic}",
            settings=settings,
            traces=recorder.traces,
            metrics=self.metrics,
            publisher=self.publisher,
            handler=handler,
            prepare=self.publisher.ensure_topics,
            abandon=abandon,
            timing=timing or ConsumerTiming(),
        )
        self.publisher.start()
        self.loop.start()

    def stop(self) -> None:
        self.loop.stop()
        self.publisher.stop()

    def consumed(self, outcome: str) -> float:
        value = self.metrics.registry.get_sample_value(
            "kafka_messages_consumed_total", {"topic": self.topic, "outcome": outcome}
        )
        return value or 0.0
