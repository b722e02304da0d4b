"""Measures what a span costs on the whole path of a stack like prod, at a constant rate: real servers as processes.

Collector → Kafka → sampler → trace store. CPU time is split into what a process uses without load and what each span
adds; bytes are those in Kafka's log, in the queue of a Collector that cannot send, and on the disk of the store. The
blocks that the store writes are counted, because each has costs of its own.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from checks.bench.path_load import SPANS_A_BATCH, Batches, send_at_rate
from checks.bench.path_servers import STORES, Store, disk_bytes, running_broker
from checks.harness.collector import TOKEN, CollectorProcess
from checks.harness.collector_with_sampler import collector_with_sampler
from collector.pipeline import TOPIC, KafkaTarget, OtlpTarget, Pipeline, Sampler, render
from contracts import metrics
from stack.components.collector.memory import garbage_collection
from stack.polling import poll_until

_QUEUE: Final = 2_000_000
_MEMORY: Final = "512Mi"
_SAMPLER_MEMORY: Final = {"GOMEMLIMIT": "410MiB"}
"""As in the pod of a sampler with the default of the setting `collector.sampling.memory`."""
_WARM_UP_BATCHES: Final = 6
_IDLE_SECONDS: Final = 8.0


@dataclass(frozen=True, kw_only=True)
class Usage:
    """CPU time of one process while the spans passed; of the store, also while it did what it does with them later."""

    cpu: float
    """In s."""
    seconds: float
    idle: float
    """Cores that it uses without load."""

    @property
    def cores(self) -> float:
        """Cores that it used."""
        return self.cpu / self.seconds

    @property
    def added(self) -> float:
        """CPU time that the spans add, in µs."""
        return (self.cpu - self.idle * self.seconds) * 1e6


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What is on the disk of the store."""

    spans: int
    """Those of the measurement, and those that warmed the processes up."""
    blocks: int
    total: int
    """In bytes."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One measurement at one rate."""

    spans: int
    seconds: float
    """From the first span until the store had the last one."""
    usage: dict[str, Usage]
    """By process: collector, kafka, sampler, and the trace store."""
    kafka_bytes: float
    """Bytes of a span in the topic, on one broker."""
    blocks: int
    """Blocks that the store wrote for the spans; Jaeger has none."""
    stored: Stored

    @property
    def rate(self) -> float:
        """Spans per second that passed."""
        return self.spans / self.seconds


def measure(rate: float, seconds: float, store: Store, *, own_distribution: bool = False) -> Run:
    """Send spans through all processes.

    Args:
        rate: spans/s.
        seconds: of load.
        store: the trace store at the end of the path.
        own_distribution: whether the Collector redacts in one pass.

    Raises:
        MissingProgram: one of the programs is not on this machine.
        CheckFailure: the spans did not arrive in time.
    """
    batches, count = Batches(), max(1, round(rate * seconds / SPANS_A_BATCH))
    with tempfile.TemporaryDirectory(dir=".", prefix=".path-") as folder, ExitStack() as running:
        directory = Path(folder).resolve()
        brokers = running.enter_context(running_broker(directory))
        end = running.enter_context(STORES[store](directory))
        collector, sampler = running.enter_context(
            _collectors(directory, brokers.bootstrap_servers, end.otlp, own_distribution=own_distribution)
        )
        clocks: dict[str, Callable[[], float]] = {
            "collector": collector.cpu_seconds,
            "kafka": brokers.cpu_seconds,
            "sampler": sampler.cpu_seconds,
            store: end.process.cpu_seconds,
        }

        def send(first: int, number: int) -> None:
            send_at_rate(batches, collector.grpc, TOKEN, first=first, count=number, spans_per_second=rate)
            expected = (first + number) * SPANS_A_BATCH
            poll_until(
                "the spans in the store",
                lambda: sampler.metric(metrics.SENT_SPANS, exporter="otlp_grpc/traces") >= expected,
                seconds=120,
                every=0.1,
            )

        send(0, _WARM_UP_BATCHES)
        end.settle()
        kafka_start, blocks_start = brokers.topic_bytes(TOPIC), end.blocks()
        used = _used(clocks, lambda: send(_WARM_UP_BATCHES, count))
        kafka_bytes = brokers.topic_bytes(TOPIC) - kafka_start
        later = _used({store: end.process.cpu_seconds}, end.settle)
        blocks = end.blocks()
        # Afterwards: before it, Java still compiles what it starts with.
        idle = _used(clocks, lambda: time.sleep(_IDLE_SECONDS))
        return Run(
            spans=count * SPANS_A_BATCH,
            seconds=used["collector"].seconds,
            usage={
                name: Usage(
                    cpu=used[name].cpu + (later[name].cpu if name in later else 0),
                    seconds=used[name].seconds + (later[name].seconds if name in later else 0),
                    idle=idle[name].cpu / idle[name].seconds,
                )
                for name in clocks
            },
            kafka_bytes=kafka_bytes / (count * SPANS_A_BATCH),
            blocks=blocks - blocks_start,
            stored=Stored(spans=(count + _WARM_UP_BATCHES) * SPANS_A_BATCH, blocks=blocks, total=end.disk_bytes()),
        )


def queue_bytes(rate: float, seconds: float) -> float:
    """Return the bytes that each span adds to the queue of a Collector whose trace store is unavailable.

    The first spans make the queue's files, whose size hardly depends on their number; they do not count.
    """
    batches, count = Batches(), max(1, round(rate * seconds / SPANS_A_BATCH))
    with tempfile.TemporaryDirectory(dir=".", prefix=".path-") as folder:
        directory = Path(folder).resolve() / "collector"
        pipeline = Pipeline(trace_store=OtlpTarget("127.0.0.1:9"), metric_stores=[], queue_size=_QUEUE)
        collector = CollectorProcess(directory, render(pipeline), garbage_collection(_MEMORY))
        collector.start()
        try:
            sizes = []
            for first, number in ((0, _WARM_UP_BATCHES), (_WARM_UP_BATCHES, count)):
                send_at_rate(batches, collector.grpc, TOKEN, first=first, count=number, spans_per_second=rate)
                sizes.append(disk_bytes(directory / "queue"))
            return (sizes[1] - sizes[0]) / (count * SPANS_A_BATCH)
        finally:
            collector.kill()


@dataclass(frozen=True, kw_only=True)
class _Used:
    cpu: float
    seconds: float


def _used(clocks: dict[str, Callable[[], float]], work: Callable[[], None]) -> dict[str, _Used]:
    """Return the CPU time that each process uses during `work`, and how long it took, in s."""
    start, started = {name: clock() for name, clock in clocks.items()}, time.monotonic()
    work()
    seconds = time.monotonic() - started
    return {name: _Used(cpu=clock() - start[name], seconds=seconds) for name, clock in clocks.items()}


def _collectors(
    directory: Path, kafka_servers: str, store: str, *, own_distribution: bool
) -> AbstractContextManager[tuple[CollectorProcess, CollectorProcess]]:
    through = KafkaTarget(kafka_servers)
    pipeline = Pipeline(
        trace_store=OtlpTarget("127.0.0.1:9"),
        metric_stores=[],
        queue_size=_QUEUE,
        sampled_through=through,
        own_distribution=own_distribution,
    )
    sampler = Sampler(
        trace_store=OtlpTarget(store),
        kafka=through,
        queue_size=_QUEUE,
        ratio=1,
        errors=True,
        slow_ms=1000,
        decision_wait_seconds=2,
        traces=100_000,
    )
    return collector_with_sampler(
        directory,
        pipeline,
        sampler,
        collector_environment=garbage_collection(_MEMORY),
        sampler_environment=_SAMPLER_MEMORY,
    )
