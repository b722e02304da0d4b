"""Finds settings that are valid one by one and cannot work together, such as a buffer that does not fit into a pod.

The estimates are low: a stack that is refused here would not work; one that is accepted may still be short of room.
"""

from collections.abc import Iterator
from typing import Any, Final

from pydantic.alias_generators import to_camel

from contracts.section import duration_hours, quantity_bytes
from contracts.services import PACKAGES
from stack.components.collector.settings import Sampling
from stack.settings.tree import Load, Settings

_MEBIBYTE: Final = 2**20

MEMORY: Final = {
    "kafka": "512Mi",  # half of it is the heap; the JVM needs about 200Mi more
    "postgres": "128Mi",
    "collector": "192Mi",  # idle it uses 70Mi, and it refuses data above 60 % of the limit
    "collector.sampling": "192Mi",
    "traces": "256Mi",  # idle, Jaeger uses 115Mi
    "traces.distributed": "256Mi",
    "logs": "256Mi",  # the largest request that it must accept is 64Mi
    "metrics": "256Mi",  # idle, Prometheus uses 105Mi
    "grafana": "128Mi",
    "alerting": "32Mi",
    "probe": "48Mi",  # it uses 30Mi
    **{f"services.{to_camel(package)}": "128Mi" for package in PACKAGES.values()},  # idle, they use 80 to 105Mi
}
"""By section: memory below which the program does not even start to work. Where a comment gives a figure, measured."""

SPAN_TOPICS: Final = {"collector.sampling": 2, "traces.distributed": 4}
"""By the section that reads it: a topic of spans may use Kafka's disk divided by this."""

SPAN_BYTES: Final = {"tempo": 90, "jaeger": 700}
"""By backend: disk space of a stored span. `stack/capacity/figures.yaml` has what was measured, which is more."""

_QUEUED_SPAN_BYTES: Final = 2048
"""A span that waits in a Python process."""
_PARTITION_BYTES: Final = 128 * _MEBIBYTE
"""Disk space that a partition needs: several of the largest messages (16 MiB), in segments that Kafka can delete."""
_SMALLER_QUEUES: Final = 4
"""The Collectors' queues of log records and of metrics each have this part of `collector.queueSize`."""
_SERIES_PER_POD: Final = 700
"""Series of a pod of the services or the Collectors, with those made of its spans. Measured with Tempo: 150 to 500 of
its own, and 700 of spans for four pods."""
_SERIES_PER_STORE: Final = 1_300
"""Series of a pod of Prometheus, the trace store or the log store. Measured: 1,260, 1,138 and 1,924."""
_SAMPLE_BYTES: Final = 2


def problems(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each combination that cannot work: key, value, and what would work."""
    yield from _memory(settings)
    yield from _buffers(settings)
    yield from _requests(settings)
    yield from _coverage(settings)
    yield from _partitions(settings)
    yield from _metrics(settings)
    yield from _load(settings)


def _memory(settings: Settings) -> Iterator[str]:
    tree = settings.model_dump(by_alias=True)
    for section, minimum in MEMORY.items():
        size: Any = tree
        for part in section.split("."):
            size = (size or {}).get(part)
        if size and size.get("enabled", True) and quantity_bytes(size["memory"]) < quantity_bytes(minimum):
            yield f"{section}.memory: {size['memory']!r} is less than {minimum}, which it needs to run at all"


def _buffers(settings: Settings) -> Iterator[str]:
    """Spans that wait for an unavailable Collector may use half of a service's memory."""
    tracing, services = settings.tracing, settings.services
    if not (tracing.enabled and services.enabled):
        return
    needed = tracing.buffer_bytes + tracing.max_queue_size * _QUEUED_SPAN_BYTES
    for name, size in services.sizes.items():
        room = quantity_bytes(size.memory) // 2
        if needed > room:
            yield (
                f"tracing.bufferBytes: {tracing.buffer_bytes} and maxQueueSize {tracing.max_queue_size} need "
                f"{_mebibytes(needed)}; half of services.{to_camel(PACKAGES[name])}.memory {size.memory!r} is "
                f"{_mebibytes(room)}"
            )


def _requests(settings: Settings) -> Iterator[str]:
    """A Collector's queue counts items. A request of more items than the queue holds would wait forever."""
    tracing, queue = settings.tracing, settings.collector.queue_size
    room = queue // _SMALLER_QUEUES
    if tracing.enabled and tracing.max_batch_size > room:
        yield (
            f"tracing.maxBatchSize: {tracing.max_batch_size} is more than {room}, the size of the Collectors' queue of "
            f"log records (a quarter of collector.queueSize {queue}): that queue would never accept a full request"
        )


def _coverage(settings: Settings) -> Iterator[str]:
    rate, objective = settings.tracing.sampling_rate, settings.objectives.traced
    if settings.tracing.enabled and rate < objective:
        yield (
            f"tracing.samplingRate: {rate} traces fewer operations than objectives.traced {objective}, and leaves out "
            "failed ones, too. To store less, set collector.sampling, which keeps errors and slow traces; or lower "
            "objectives.traced"
        )


def _partitions(settings: Settings) -> Iterator[str]:
    """Topics of spans may use a part of Kafka's disk, which their partitions share equally."""
    kafka = settings.kafka
    readers = {"collector.sampling": settings.collector.sampling, "traces.distributed": settings.traces.distributed}
    for name, reader in readers.items():
        share = quantity_bytes(kafka.volume) // SPAN_TOPICS[name] // kafka.partitions
        if reader and share < _PARTITION_BYTES:
            yield (
                f"kafka.volume: {kafka.volume!r} leaves {_mebibytes(share)} for each of {kafka.partitions} partitions "
                f"of the topic of {name}; each needs {_mebibytes(_PARTITION_BYTES)}, so the volume "
                f"{_mebibytes(partition_bytes(name, kafka.partitions))}"
            )


def partition_bytes(reader: str, partitions: int) -> int:
    """Return the size of Kafka's volume that leaves each partition of a topic of spans the room that it needs.

    Args:
        reader: the section that reads the topic, a key of `SPAN_TOPICS`.
        partitions: of each topic.
    """
    return _PARTITION_BYTES * SPAN_TOPICS[reader] * partitions


def _metrics(settings: Settings) -> Iterator[str]:
    if settings.metrics.external:
        return  # the retention is that of a store that the stack does not build
    needed = metric_bytes(settings)
    if needed > quantity_bytes(settings.metrics.volume):
        yield (
            f"metrics.volume: {settings.metrics.volume!r} is less than the {_gibibytes(needed)} or so that "
            f"{_series(settings):,} series need in retention {settings.retention}, scraped every "
            f"{settings.metrics.scrape_interval_seconds} s"
        )


def metric_bytes(settings: Settings) -> int:
    """Return the disk space that the samples of the stack's pods need in the retention."""
    samples = duration_hours(settings.retention) * 3600 // settings.metrics.scrape_interval_seconds
    return _series(settings) * samples * _SAMPLE_BYTES


def _series(settings: Settings) -> int:
    sampling, services = settings.collector.sampling, settings.services
    pods = (
        (sum(size.replicas for size in services.sizes.values()) if services.enabled else 0)
        + settings.collector.replicas
        + (sampling.replicas if sampling else 0)
    )
    stores = settings.metrics.replicas + settings.logs.replicas + 1
    return pods * _SERIES_PER_POD + stores * _SERIES_PER_STORE


def _load(settings: Settings) -> Iterator[str]:
    """Check the sizes against the expected load, if the settings have one."""
    if settings.load and settings.tracing.enabled:
        yield from _sampler_load(settings)
        yield from _store_load(settings)


def _sampler_load(settings: Settings) -> Iterator[str]:
    load, sampling = settings.load, settings.collector.sampling
    if load is None or sampling is None:
        return
    room = sampling.replicas * sampling.waiting_traces
    needed = waiting_traces(load, sampling)
    if needed > room:
        yield (
            f"collector.sampling.memory: {sampling.memory!r} holds {room:,} traces in all samplers; "
            f"load.tracesPerSecond {load.traces_per_second:g} at a peak of {load.peak:g} times that brings "
            f"{needed:,} within decisionWaitSeconds {sampling.decision_wait_seconds}"
        )
    if load.spans_per_trace > sampling.queue_size:
        yield (
            f"load.spansPerTrace: {load.spans_per_trace} is more than collector.sampling.queueSize "
            f"{sampling.queue_size}: a sampler queues whole traces, and its queue would never accept one"
        )


def waiting_traces(load: Load, sampling: Sampling) -> int:
    """Return the number of traces that wait for their decision at the peak, in all samplers."""
    return round(load.traces_per_second * load.peak * sampling.decision_wait_seconds)


def _store_load(settings: Settings) -> Iterator[str]:
    load, traces = settings.load, settings.traces
    if load is None or traces.object_storage or traces.external:
        return
    stored = stored_traces(load, settings)
    needed = round(retained_spans(load, settings) * SPAN_BYTES[traces.backend])
    if needed > quantity_bytes(traces.volume):
        yield (
            f"traces.volume: {traces.volume!r} is less than the {_gibibytes(needed)} or so that {stored:g} "
            f"traces/s of {load.spans_per_trace} spans need in retention {settings.retention}, at "
            f"{SPAN_BYTES[traces.backend]} bytes a span. Enlarge it, store fewer traces (collector.sampling), shorten "
            "the retention, or set traces.objectStorage"
        )


def stored_traces(load: Load, settings: Settings) -> float:
    """Return the traces that are stored per second, without those that are kept because they failed or were slow."""
    sampling = settings.collector.sampling
    return load.traces_per_second * (sampling.ratio if sampling else 1) * settings.tracing.sampling_rate


def retained_spans(load: Load, settings: Settings) -> float:
    """Return the spans that are stored within the retention."""
    return stored_traces(load, settings) * load.spans_per_trace * retention_seconds(settings)


def retention_seconds(settings: Settings) -> float:
    """Return the setting `retention` in seconds."""
    return duration_hours(settings.retention) * 3600


def _mebibytes(count: int) -> str:
    return f"{count // _MEBIBYTE}Mi"


def _gibibytes(count: int) -> str:
    return f"{-(-count // 2**30)}Gi"
