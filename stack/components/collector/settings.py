"""The section `collector` of the settings."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from contracts.section import Cpu, FromList, ImageReference, Quantity, Section, quantity_bytes
from stack.components.shared.settings import Workload

_QUEUED_SPAN_BYTES: Final = 1024
"""A span in the queue's file, about."""
_COMPACTION_FACTOR: Final = 2
"""While the file is compacted, the disk holds it twice."""
_TRACE_BYTES: Final = 20 * 1024
"""A trace of 17 spans in a sampler's memory, about."""


def volume_bytes(queue_size: int) -> int:
    """Return the disk space that a Collector needs whose queue holds so many spans."""
    # The queues of logs and of metrics take a quarter of the space each.
    return queue_size * _QUEUED_SPAN_BYTES * _COMPACTION_FACTOR * 3 // 2


class Queueing(Workload):
    """Collectors that each have a queue on disk."""

    memory: Quantity = "512Mi"
    queue_volume: Quantity = "2Gi"
    """Size of each Collector's volume, which holds what its receiver has not accepted yet."""
    queue_size: Annotated[int, Field(ge=10_000)] = 500_000
    """Spans that the queue holds before the Collector applies back pressure to the senders. It must hold several of
    the largest batches."""

    @model_validator(mode="after")
    def _check_queue_fits_volume(self) -> Self:
        needed = volume_bytes(self.queue_size)
        if needed > quantity_bytes(self.queue_volume):
            raise ValueError(
                f"queueSize {self.queue_size} needs about {needed // 2**20}Mi; queueVolume has {self.queue_volume}"
            )
        return self


class Autoscaling(Section):
    """Adds Collectors while they are busy. It removes none: the queue of a removed Collector would stay on its volume.

    Remove Collectors by hand.
    """

    max_replicas: Annotated[int, Field(ge=2, le=50)]
    """Largest number of Collectors; `replicas` is the smallest."""
    cpu_percent: Annotated[int, Field(ge=10, le=1000)] = 80
    """Mean CPU usage of the Collectors, in percent of the CPU that they reserve, above which one is added."""


class Sampling(Queueing):
    """Tail sampling: which traces are stored.

    Collectors of their own (`sampler`), which read the spans from Kafka, decide on whole traces.
    """

    ratio: Annotated[float, Field(ge=0, le=1)]
    """Share of the traces that is stored although no policy keeps them: 0 to 1."""
    policies: Annotated[tuple[Literal["errors", "slow"], ...], FromList] = ("errors", "slow")
    """Traces that are always stored: those with an error, and those that take longer than `slowMs`."""
    slow_ms: Annotated[int, Field(ge=1, le=3_600_000)] = 1000
    """Duration of a trace, from its first start to its last end, above which it is slow, in ms."""
    decision_wait_seconds: Annotated[int, Field(ge=1, le=600)] = 30
    """Time from a trace's first span to the decision, in s. A sampler that is killed loses the traces that wait for
    their decision."""

    @property
    def waiting_traces(self) -> int:
        """Traces that may wait for their decision in one sampler: they get half of its memory."""
        return quantity_bytes(self.memory) // 2 // _TRACE_BYTES

    @model_validator(mode="after")
    def _check_sampling(self) -> Self:
        if self.ratio == 1:
            raise ValueError("ratio 1 stores everything: leave `sampling` out, which needs no samplers")
        if "slow" in self.policies and self.slow_ms >= self.decision_wait_seconds * 1000:
            raise ValueError(
                f"slowMs {self.slow_ms} is not less than decisionWaitSeconds {self.decision_wait_seconds}: a slow "
                "trace would be decided on before it is known to be slow"
            )
        return self


class Collector(Queueing):
    """The Collectors that receive the telemetry of the services."""

    cpu: Cpu = "100m"
    image: ImageReference | None = None
    """Image of the project's own distribution, with a tag or digest, built from `collector/distribution/Dockerfile`.
    Its processor redacts in one pass. If unset, the Collectors run the contrib distribution, which redacts the same."""
    autoscaling: Autoscaling | None = None
    """Adds Collectors under load, which needs a metrics server in the cluster; always `replicas` if unset."""
    sampling: Sampling | None = None
    """Tail sampling; every trace is stored if unset."""

    @model_validator(mode="after")
    def _check_room_to_scale(self) -> Self:
        if self.autoscaling and self.autoscaling.max_replicas <= self.replicas:
            raise ValueError(
                f"autoscaling.maxReplicas {self.autoscaling.max_replicas} is not more than replicas {self.replicas}"
            )
        return self
