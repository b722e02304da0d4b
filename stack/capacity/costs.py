"""What a number of spans costs, by the recorded figures: cores and bytes of each process on their path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stack.capacity.figures import Figures

BLOCKS: Final[Mapping[str, float]] = {"jaeger": 0, "tempo": 1 / 1800}
"""Trace store → blocks that it writes per second in a stack; 30 min is Tempo's default. Under a high load, Tempo
writes a block as soon as it has 50 MiB; the block then costs less than a fiftieth of what its spans cost."""
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

    def store_cores(self, backend: str, spans: float, blocks: float) -> float:
        """Return the cores of a trace store that is one process, and writes so many blocks per second."""
        return self._store_fixed_cores(backend, blocks) + spans * self._value(f"{backend}.cpu") * _MICRO

    def store_rate(self, backend: str, cores: float, blocks: float) -> float:
        """Return the spans/s that a trace store takes with so many cores: the inverse of `store_cores`."""
        left = max(0.0, cores - self._store_fixed_cores(backend, blocks))
        return left / (self._value(f"{backend}.cpu") * _MICRO)

    def store_bytes(self, backend: str, spans: float, blocks: float) -> float:
        """Return the bytes on the disk of the trace store, or in its bucket."""
        return spans * self._value(f"{backend}.bytes") + blocks * self._value("tempo.blockBytes")

    def tracing_cores(self, spans: float) -> float:
        """Return the cores that tracing takes in the processes of the services."""
        return spans * self._value("library.span") * _MICRO

    def _store_fixed_cores(self, backend: str, blocks: float) -> float:
        return self._value(f"{backend}.idle") + blocks * self._value("tempo.blockCpu") * _MICRO

    def _value(self, name: str) -> float:
        return self.figures[name].value
