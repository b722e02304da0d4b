"""Settings that are right each, and cannot work together: sizes held against what has to fit into them.

Estimates are on the low side: what is refused here would not work, what is let through may still be tight.
"""

from collections.abc import Iterator
from typing import Any, Final

from contracts.section import duration_hours, quantity_bytes
from stack.settings import Settings

_MEBIBYTE: Final = 2**20

MEMORY: Final = {
    "kafka": "512Mi",  # half of it is the heap; Java alone takes about 200Mi beside it
    "postgres": "128Mi",
    "collector": "192Mi",  # idle it takes 70Mi, and refuses everything above 60 % of the limit
    "collector.sampling": "192Mi",
    "traces": "256Mi",  # Jaeger takes 115Mi with nothing to do
    "traces.distributed": "256Mi",
    "logs": "256Mi",  # the largest request that it has to take is 64Mi
    "metrics": "256Mi",  # Prometheus takes 105Mi with nothing to do
    "grafana": "128Mi",
    "alerting": "32Mi",
    "services.gateway": "128Mi",  # the services take 80 to 105Mi with nothing to do
    "services.taskManager": "128Mi",
    "services.crawler": "128Mi",
}
"""Memory below which a program does not get as far as to work, by section; measured idle where a figure is given."""

SPAN_BYTES: Final = {"tempo": 150, "jaeger": 700}
"""Room of a stored span: Jaeger's measured (740 bytes with a dozen attributes), Tempo's an estimate of its columns."""

_QUEUED_SPAN_BYTES: Final = 2048  # of a span that waits in a Python process
_PARTITION_BYTES: Final = 128 * _MEBIBYTE  # several of the largest messages (16 MiB), in segments that can be dropped
_SMALLER_QUEUES: Final = 4
"""The queues of log records and of metrics have such a part of `collector.queueSize` each."""
_SERIES_A_POD: Final = 500
_SAMPLE_BYTES: Final = 2


def problems(settings: Settings) -> Iterator[str]:
    """Everything that does not fit, as key, value and what would be right."""
    yield from _memory(settings)
    yield from _buffers(settings)
    yield from _requests(settings)
    yield from _coverage(settings)
    yield from _partitions(settings)
    yield from _metrics(settings)
    yield from _load(settings)


def _memory(settings: Settings) -> Iterator[str]:
    tree = settings.model_dump(by_alias=True)
    for section, least in MEMORY.items():
        found: Any = tree
        for part in section.split("."):
            found = (found or {}).get(part)
        if found and found.get("enabled", True) and quantity_bytes(found["memory"]) < quantity_bytes(least):
            yield f"{section}.memory: {found['memory']!r} is less than {least}, which it needs to run at all"


def _buffers(settings: Settings) -> Iterator[str]:
    """Spans that wait while the Collector is away have half of a service's memory; the rest is the program's."""
    tracing = settings.tracing
    needed = tracing.buffer_bytes + tracing.max_queue_size * _QUEUED_SPAN_BYTES
    services = settings.services
    for name, size in (
        ("gateway", services.gateway),
        ("taskManager", services.task_manager),
        ("crawler", services.crawler),
    ):
        room = quantity_bytes(size.memory) // 2
        if tracing.enabled and needed > room:
            yield (
                f"tracing.bufferBytes: {tracing.buffer_bytes} and maxQueueSize {tracing.max_queue_size} come to "
                f"{_mebibytes(needed)}; half of services.{name}.memory {size.memory!r} is {_mebibytes(room)}"
            )


def _requests(settings: Settings) -> Iterator[str]:
    """A Collector's queue counts items, and lets a request of more items than it has room for wait without end."""
    tracing, queue = settings.tracing, settings.collector.queue_size
    room = queue // _SMALLER_QUEUES
    if tracing.enabled and tracing.max_batch_size > room:
        yield (
            f"tracing.maxBatchSize: {tracing.max_batch_size} is more than {room}, which the Collectors' queue of log "
            f"records has room for (a quarter of collector.queueSize {queue}): a full request would never be taken"
        )


def _coverage(settings: Settings) -> Iterator[str]:
    rate, share = settings.tracing.sampling_rate, settings.objectives.traced
    if settings.tracing.enabled and rate < share:
        yield (
            f"tracing.samplingRate: {rate} traces fewer operations than objectives.traced {share}, failed ones among "
            "those left out. To store less, set collector.sampling, which keeps errors and slow traces; or lower "
            "objectives.traced"
        )


def _partitions(settings: Settings) -> Iterator[str]:
    """Topics of spans may fill a part of Kafka's disk, in equal shares for their partitions."""
    kafka = settings.kafka
    for name, reader, part in (
        ("collector.sampling", settings.collector.sampling, 2),
        ("traces.distributed", settings.traces.distributed, 4),
    ):
        share = quantity_bytes(kafka.volume) // part // kafka.partitions
        if reader and share < _PARTITION_BYTES:
            yield (
                f"kafka.volume: {kafka.volume!r} leaves {_mebibytes(share)} for each of {kafka.partitions} partitions "
                f"of the topic of {name}; {_mebibytes(_PARTITION_BYTES)} are needed, so "
                f"{_mebibytes(_PARTITION_BYTES * part * kafka.partitions)} in all"
            )


def _metrics(settings: Settings) -> Iterator[str]:
    pods = (
        sum(size.replicas for size in (settings.services.gateway, settings.services.task_manager))
        + settings.services.crawler.replicas
        + settings.collector.replicas
        + (settings.collector.sampling.replicas if settings.collector.sampling else 0)
        + 2  # trace store and Prometheus
    )
    samples = duration_hours(settings.retention) * 3600 // settings.metrics.scrape_interval_seconds
    needed = pods * _SERIES_A_POD * samples * _SAMPLE_BYTES
    if needed > quantity_bytes(settings.metrics.volume):
        yield (
            f"metrics.volume: {settings.metrics.volume!r} is less than the {_gibibytes(needed)} or so that {pods} pods "
            f"write in retention {settings.retention}, scraped every {settings.metrics.scrape_interval_seconds} s"
        )


def _load(settings: Settings) -> Iterator[str]:
    """What is expected of the stack, where that is said."""
    load, traces, sampling = settings.load, settings.traces, settings.collector.sampling
    if load is None or not settings.tracing.enabled:
        return
    if sampling:
        room = sampling.replicas * sampling.waiting_traces
        needed = round(load.traces_per_second * load.peak * sampling.decision_wait_seconds)
        if needed > room:
            yield (
                f"collector.sampling.memory: {sampling.memory!r} holds {room:,} traces in all samplers; "
                f"load.tracesPerSecond {load.traces_per_second:g} at its peak of {load.peak:g} times that brings "
                f"{needed:,} within decisionWaitSeconds {sampling.decision_wait_seconds}"
            )
        if load.spans_per_trace > sampling.queue_size:
            yield (
                f"load.spansPerTrace: {load.spans_per_trace} is more than collector.sampling.queueSize "
                f"{sampling.queue_size}: a sampler queues a trace whole, and would never get it into its queue"
            )
    if not traces.object_storage:
        stored = load.traces_per_second * (sampling.ratio if sampling else 1) * settings.tracing.sampling_rate
        spans = stored * load.spans_per_trace * duration_hours(settings.retention) * 3600
        bytes_needed = round(spans * SPAN_BYTES[traces.backend])
        if bytes_needed > quantity_bytes(traces.volume):
            yield (
                f"traces.volume: {traces.volume!r} is less than the {_gibibytes(bytes_needed)} or so that {stored:g} "
                f"traces/s of {load.spans_per_trace} spans take in retention {settings.retention}, at "
                f"{SPAN_BYTES[traces.backend]} bytes a span; enlarge it, store fewer (collector.sampling), keep them "
                "for a shorter time, or set traces.objectStorage"
            )


def _mebibytes(count: int) -> str:
    return f"{count // _MEBIBYTE}Mi"


def _gibibytes(count: int) -> str:
    return f"{-(-count // 2**30)}Gi"
