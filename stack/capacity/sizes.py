"""Which sizes a stack needs for a load: the settings that the stack file must change, and the limits that are reached.

The CPU time and the bytes of a span are figures of the benchmarks; `stack/settings/sizing.py` has the formulas that the
settings are checked with.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from contracts.section import quantity_bytes
from stack.capacity.costs import BLOCKS, Costs
from stack.capacity.figures import Figures
from stack.capacity.provider import Limits
from stack.components.collector.settings import Autoscaling, Queueing, volume_bytes
from stack.components.shared.settings import Workload
from stack.settings import Settings
from stack.settings.lookup import fields_at
from stack.settings.sizing import (
    SPAN_TOPICS,
    metric_bytes,
    partition_bytes,
    retained_spans,
    retention_seconds,
    stored_traces,
    waiting_traces,
)
from stack.settings.tree import Load

BUSY: Final[float] = Autoscaling.model_fields["cpu_percent"].default / 100
"""Share of the reserved CPU that the busiest minute uses; above it, the autoscaler adds a Collector."""
_SPARE: Final = 1
"""Pods that may be lost or replaced in the busiest minute."""
_MEBIBYTE: Final = 2**20
_SETTINGS: Final = "docs/settings.md"
_GP3: Final = "a gp3 volume of AWS: https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html"
_DEFAULTS: Final = {
    "pod_cores": "half of a node of 16 cores",
    "volume": _GP3,
    "volume_mebibytes_per_second": _GP3,
}
"""Limit of the provider → what its default is."""

Number = TypeVar("Number", int, float)
Value = int | str
"""A number, or a quantity of Kubernetes."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """Something that cannot grow further in one stack."""

    reason: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a stack needs for a load."""

    values: Mapping[str, Value]
    """Setting → its value; every setting that depends on the load."""
    bounds: Mapping[str, Bound]
    """Setting → why it cannot be as large as it would have to be; empty if the stack takes the load."""
    settings: Settings
    """The settings with these values."""
    collectors: int
    """Collectors after the busiest minute: an autoscaler adds them, and removes none."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What the sizes depend on besides the load."""

    settings: Settings
    """Of the stack file."""
    figures: Figures
    limits: Limits
    outage_seconds: float
    """How long the queues, and Kafka, hold what a store that is unavailable does not take."""


def sizes(load: Load, conditions: Conditions) -> Sizes:
    """Return the sizes that the stack needs; none is smaller than in the stack file."""
    sizing = _Sizing(load=load, conditions=conditions)
    sizing.size_collectors()
    sizing.size_samplers()
    sizing.size_trace_store()
    sizing.size_kafka()
    sizing.size_metrics()
    settings = with_values(conditions.settings, sizing.values).model_copy(update={"load": load})
    return Sizes(values=sizing.values, bounds=sizing.bounds, settings=settings, collectors=sizing.collectors)


@dataclass(kw_only=True)
class _Sizing:
    load: Load
    conditions: Conditions
    values: dict[str, Value] = field(default_factory=dict)
    bounds: dict[str, Bound] = field(default_factory=dict)
    collectors: int = 0

    def __post_init__(self) -> None:
        settings = self.conditions.settings
        self.costs = Costs(self.conditions.figures)
        self.spans = self.load.traces_per_second * self.load.spans_per_trace * settings.tracing.sampling_rate
        self.peak_spans = self.spans * self.load.peak
        self.stored_spans = stored_traces(self.load, settings) * self.load.spans_per_trace

    def size_collectors(self) -> None:
        """Collectors share the spans; each has its part of the queue."""
        collector = self.conditions.settings.collector
        peak = self.costs.collector_cores(
            self.peak_spans, has_kafka=collector.sampling is not None, is_one_pass=collector.image is not None
        )
        if collector.autoscaling is None:
            replicas = self.collectors = self._pods("collector", collector, peak)
        else:
            largest = self._largest("collector.autoscaling.maxReplicas")
            cores = self._pod_cores("collector", collector, peak, largest - _SPARE)
            most = max(_pods(peak, cores) + _SPARE, collector.autoscaling.max_replicas)
            on_average = _pods(peak / self.load.peak, cores) + _SPARE
            replicas = max(min(on_average, largest - 1), collector.replicas)  # the autoscaler must be able to add one
            self.collectors = max(_pods(peak, cores), replicas)
            self.values["collector.replicas"] = replicas
            self.values["collector.autoscaling.maxReplicas"] = max(most, replicas + 1)
        self._queue("collector", collector, self.spans / replicas)

    def size_samplers(self) -> None:
        """Samplers share the partitions; each has the traces that wait for their decision in memory."""
        sampling = self.conditions.settings.collector.sampling
        if sampling is None:
            return
        name, limits = "collector.sampling", self.conditions.limits
        replicas = self._pods(name, sampling, self.costs.sampler_cores(self.peak_spans))
        waiting = waiting_traces(self.load, sampling)
        memory = quantity_bytes(str(self.values.get(f"{name}.memory", sampling.memory)))
        room = sampling.waiting_traces / quantity_bytes(sampling.memory)  # traces for a byte of memory
        memory = _doubled(memory, lambda size: size * room * replicas >= waiting)
        largest = max(quantity_bytes(limits.pod_memory), quantity_bytes(sampling.memory))
        if memory > largest:
            memory = largest
            replicas = max(replicas, math.ceil(waiting / (memory * room)))
            self._check_replicas(name, replicas, "the traces that wait for their decision need so many")
        self.values |= {f"{name}.replicas": replicas, f"{name}.memory": _quantity(memory)}
        self._queue(name, sampling, self.stored_spans / replicas)

    def size_kafka(self) -> None:
        """Each broker has a replica of each partition, so it writes all bytes."""
        settings = self.conditions.settings
        readers = {
            "collector.sampling": (settings.collector.sampling, self.spans),
            "traces.distributed": (settings.traces.distributed, self.stored_spans),
        }
        topics = {name: spans for name, (section, spans) in readers.items() if section}
        if not topics:
            return
        self._set_partitions()
        peak, outage = sum(topics.values()) * self.load.peak, self.conditions.outage_seconds
        partitions = int(self.values["kafka.partitions"])
        needed = max(
            max(self.costs.broker_bytes(spans) * outage * SPAN_TOPICS[name], partition_bytes(name, partitions))
            for name, spans in topics.items()
        )
        if settings.kafka.external:  # its brokers and their disks are not the stack's
            self.values["kafka.volume"] = _quantity(
                _doubled(quantity_bytes(settings.kafka.volume), lambda size: size >= needed)
            )
            return
        self._volume("kafka.volume", settings.kafka.volume, needed)
        self._pod_cores("kafka", settings.kafka, self.costs.broker_cores(peak), 1)
        throughput = self.conditions.limits.volume_mebibytes_per_second
        if self.costs.broker_bytes(peak) > throughput * _MEBIBYTE:
            self.bounds["kafka.brokers"] = Bound(
                reason=f"each of the brokers writes all spans, and a volume takes {throughput} MiB/s",
                source=source_of("volume_mebibytes_per_second", self.conditions.limits),
            )

    def size_trace_store(self) -> None:
        """Tempo in parts shares the spans; a single Tempo or Jaeger is one pod, with one volume."""
        traces = self.conditions.settings.traces
        if traces.external:
            return
        blocks = BLOCKS[traces.backend]
        cores = self.costs.store_cores(traces.backend, self.stored_spans * self.load.peak, blocks)
        if traces.distributed:
            self._pods("traces.distributed", traces.distributed, cores)
            return
        self._pod_cores("traces", traces, cores, 1)
        if not traces.object_storage:
            settings = self.conditions.settings
            needed = self.costs.store_bytes(
                traces.backend, retained_spans(self.load, settings), blocks * retention_seconds(settings)
            )
            self._volume("traces.volume", traces.volume, needed)

    def size_metrics(self) -> None:
        """Prometheus has series of each pod."""
        metrics = self.conditions.settings.metrics
        if not metrics.external:
            needed = metric_bytes(with_values(self.conditions.settings, self.values))
            self._volume("metrics.volume", metrics.volume, needed)

    def _pods(self, name: str, size: Workload, cores: float) -> int:
        """Set the number of pods, and the CPU of each if there would be more than the setting allows."""
        pod = self._pod_cores(name, size, cores, self._largest(f"{name}.replicas") - _SPARE)
        replicas = max(_pods(cores, pod) + _SPARE, size.replicas)
        self.values[f"{name}.replicas"] = replicas
        return replicas

    def _pod_cores(self, name: str, size: Any, cores: float, pods: int) -> float:
        """Set the CPU of each pod, doubled until `pods` of them are enough, and the memory in the same ratio."""
        limits, declared = self.conditions.limits, cores_of(size.cpu)
        pod = _doubled(declared, lambda value: _pods(cores, value) <= pods)
        if pod > (largest := max(declared, float(limits.pod_cores))):
            self.bounds[f"{name}.cpu"] = Bound(
                reason=f"{pods} pods of {limits.pod_cores} cores are too few"
                if pods > 1
                else f"one pod needs more than {limits.pod_cores} cores",
                source=source_of("pod_cores", limits),
            )
            pod = largest
        memory = quantity_bytes(size.memory)
        grown = max(memory, min(round(memory * pod / declared), quantity_bytes(limits.pod_memory)))
        self.values |= {f"{name}.cpu": _cpu(pod), f"{name}.memory": _quantity(grown)}
        return pod

    def _queue(self, name: str, size: Queueing, spans: float) -> None:
        """Set the queue of each pod, for an outage of what it sends to."""
        waiting = spans * self.conditions.outage_seconds
        queue = _doubled(size.queue_size, lambda value: value >= waiting)
        self.values[f"{name}.queueSize"] = queue
        self._volume(f"{name}.queueVolume", size.queue_volume, volume_bytes(queue))

    def _volume(self, name: str, declared: str, needed: float) -> None:
        volume = _doubled(quantity_bytes(declared), lambda value: value >= needed)
        limits = self.conditions.limits
        largest = max(quantity_bytes(limits.volume), quantity_bytes(declared))
        if volume > largest:
            source = source_of("volume", limits)
            self.bounds[name] = Bound(reason=f"the largest volume has {limits.volume}", source=source)
            volume = largest
        self.values[name] = _quantity(volume)

    def _set_partitions(self) -> None:
        """Set a multiple of the number of samplers, so that each reads the same number of partitions."""
        readers = [int(self.values.get(f"{name}.replicas", 1)) for name in SPAN_TOPICS]
        samplers = readers[0]
        needed = math.ceil(max(self.conditions.settings.kafka.partitions, *readers) / samplers) * samplers
        largest = self._largest("kafka.partitions")
        if needed > largest:
            self.bounds["kafka.partitions"] = Bound(reason=f"the setting allows {largest}", source=_SETTINGS)
        self.values["kafka.partitions"] = min(needed, largest)

    def _check_replicas(self, name: str, replicas: int, reason: str) -> None:
        largest = self._largest(f"{name}.replicas")
        if replicas > largest:
            self.bounds[f"{name}.replicas"] = Bound(
                reason=f"{reason}, and the setting allows {largest}", source=_SETTINGS
            )

    def _largest(self, setting: str) -> int:
        *section, name = setting.split(".")
        (largest,) = (item.le for item in fields_at(section)[name].metadata if hasattr(item, "le"))
        return int(largest)


def source_of(limit: str, limits: Limits) -> str:
    """Return where a limit comes from: the provider's file, or the default.

    Args:
        limit: its field.
        limits: of the provider.
    """
    name = f"limits.{type(limits).model_fields[limit].alias}"
    if limit in limits.model_fields_set:
        return f"{name} of the provider's file"
    return f"default of {name}, {_DEFAULTS[limit]}"


def with_values(settings: Settings, values: Mapping[str, Value]) -> Settings:
    """Return settings with other values of some settings, which are not checked."""

    def changed(section: Any, path: tuple[str, ...], value: Value) -> Any:
        name = next(name for name, info in type(section).model_fields.items() if info.alias == path[0])
        item = value if len(path) == 1 else changed(getattr(section, name), path[1:], value)
        return section.model_copy(update={name: item})

    for setting, value in values.items():
        settings = changed(settings, tuple(setting.split(".")), value)
    return settings


def _pods(cores: float, pod: float) -> int:
    return max(1, math.ceil(cores / (pod * BUSY)))


def _doubled(size: Number, is_enough: Callable[[Number], bool]) -> Number:
    while not is_enough(size):
        size *= 2
    return size


def cores_of(cpu: str) -> float:
    """Return the cores of a CPU quantity of Kubernetes, such as `500m` or `2`."""
    return float(cpu.removesuffix("m")) / 1000 if cpu.endswith("m") else float(cpu)


def _cpu(cores: float) -> str:
    return f"{cores:g}" if cores == int(cores) else f"{round(cores * 1000)}m"


def _quantity(size: int) -> str:
    """Return bytes as a quantity, rounded up to whole Mi, or Gi where that is exact."""
    mebibytes = -(-size // _MEBIBYTE)
    return f"{mebibytes // 1024}Gi" if mebibytes % 1024 == 0 else f"{mebibytes}Mi"
