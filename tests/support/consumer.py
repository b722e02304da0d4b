"""A running consumer with its publisher, on its own topic."""

from collections.abc import Callable

from contracts.service_metrics import MESSAGES_CONSUMED
from contracts.topics import dead_letter_topic
from lean_tracing.testing import Recorder
from service.common.config import ServiceSettings
from service.common.kafka.consumer import ConsumerLoop, ConsumerTiming
from service.common.kafka.publisher import KafkaPublisher
from service.common.kafka.received import Received
from service.common.metrics import Metrics


class RunningConsumer:
    """A started `ConsumerLoop`, the publisher of its dead letters, and their metrics."""

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
            settings, recorder.traces, self.metrics, client_id="loop", topics=(topic, dead_letter_topic(topic))
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
        """The number of messages with this outcome."""
        labels = {"topic": self.topic, "outcome": outcome}
        return self.metrics.registry.get_sample_value(MESSAGES_CONSUMED, labels) or 0.0
