"""What a number of spans costs, by the recorded figures: cores and bytes of each process on their path."""

from dataclasses import dataclass
from typing import Final

from stack.capacity.figures import Figures

_MICRO: Final = 1e-6


@dataclass(frozen=True)
class Costs:
    """Costs of a rate of spans per second."""

    figures: Figures

    def collector_cores(self, spans: float, *, has_kafka: bool, is_one_pass: bool) -> float:
        """Return the cores of the Collectors.

        Args:
            spans: spans/s.
            has_kafka: whether they send spans to Kafka, and not to the trace store.
            is_one_pass: whether they run the project's distribution.
        """
        if has_kafka:
            return spans * self._value("path.onePass" if is_one_pass else "path.collector") * _MICRO
        return spans / self._value("collector.onePass" if is_one_pass else "collector.complete")

    def sampler_cores(self, spans: float) -> float:
        """Return the cores of the samplers; a span that they do not store costs less."""
        return spans * self._value("path.sampler") * _MICRO

    def broker_cores(self, spans: float) -> float:
        """Return the cores of a broker that leads all partitions."""
        return self._value("path.kafkaIdle") + spans * self._value("path.kafka") * _MICRO

    def broker_bytes(self, spans: float) -> float:
        """Return the bytes of messages on the disk of each broker."""
        return spans * self._value("path.kafkaBytes")

    def queue_bytes(self, spans: float) -> float:
        """Return the bytes in the queue of a Collector."""
        return spans * self._value("path.queueBytes")

    def store_cores(self, backend: str, spans: float) -> float:
        """Return the cores of a trace store that is one process."""
        return spans * self._value(f"{backend}.cpu") * _MICRO

    def store_bytes(self, backend: str, spans: float) -> float:
        """Return the bytes on the disk of the trace store, or in its bucket."""
        return spans * self._value(f"{backend}.bytes")

    def tracing_cores(self, spans: float) -> float:
        """Return the cores that tracing takes in the processes of the services."""
        return spans * self._value("library.span") * _MICRO

    def _value(self, name: str) -> float:
        return self.figures[name].value
