"""Measures what a span costs on the whole path of a stack like prod, at a constant rate: real servers as processes.

Collector → Kafka → sampler → trace store. CPU time is split into what a process uses without load and what each span
adds; bytes are those in Kafka's log, in the queue of a Collector that cannot send, and on the disk of the store.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, Literal

from rich.console import Console
from rich.table import Table

from checks.bench.path_load import SPANS_A_BATCH, Batches, send_at_rate
from checks.bench.store_outage import outage
from checks.harness import kafka, tempo
from checks.harness.collector import TOKEN, CollectorProcess, require_own_distribution
from checks.harness.jaeger import JaegerProcess
from checks.harness.server import ServerProcess
from collector.pipeline import TOPIC, KafkaTarget, OtlpTarget, Pipeline, Sampler, render, render_sampler
from contracts import metrics
from service.common.errors import Unavailable
from service.common.kafka.topics import create_missing_topics
from stack.capacity.figures import QUANTITIES, record, this_run
from stack.components.collector.memory import garbage_collection
from stack.components.kafka.settings import Kafka
from stack.components.trace_store.config import tempo_config
from stack.components.trace_store.settings import Traces
from stack.polling import poll_until

Store = Literal["jaeger", "tempo"]
_PARTITIONS: Final = 12
_QUEUE: Final = 2_000_000
_MEMORY: Final = "512Mi"
_SAMPLER_MEMORY: Final = {"GOMEMLIMIT": "410MiB"}
"""As in the pod of a sampler with the default of the setting `collector.sampling.memory`."""
_WARM_UP_BATCHES: Final = 6
_IDLE_SECONDS: Final = 4.0
_OUTAGE_RATE, _OUTAGE_SECONDS = 600.0, 12.0
_BLOCK_SECONDS: Final = 5
"""Age at which Tempo writes a block; its default is 30 min, and a measurement is shorter."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """CPU time of one process while the spans passed."""

    cpu: float
    """In s."""
    seconds: float
    idle: float
    """Cores that it uses without load."""

    @property
    def cores(self) -> float:
        """Cores that it used."""
        return self.cpu / self.seconds

    def microseconds(self, spans: int) -> float:
        """CPU time that each span adds, in µs."""
        return (self.cpu - self.idle * self.seconds) / spans * 1e6


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
    store_bytes: float
    """Bytes of a span on the disk of the store."""

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
        brokers = running.enter_context(_brokers(directory))
        end = running.enter_context(_STORES[store](directory))
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
        kafka_start = brokers.topic_bytes(TOPIC)
        used = _used(clocks, lambda: send(_WARM_UP_BATCHES, count))
        kafka_bytes = brokers.topic_bytes(TOPIC) - kafka_start
        later = _used({store: end.process.cpu_seconds}, end.settle)
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
            store_bytes=end.disk_bytes() / ((count + _WARM_UP_BATCHES) * SPANS_A_BATCH),
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
                sizes.append(_disk_bytes(directory / "queue"))
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


@contextmanager
def _brokers(directory: Path) -> Iterator[kafka.KafkaBrokers]:
    folder = directory / "kafka"
    folder.mkdir()
    brokers = kafka.KafkaBrokers(folder, kafka.libraries(folder / "libraries"))
    brokers.configure(Kafka(brokers=1))
    try:
        brokers.start(0)
        poll_until("the topic", lambda: _has_topic(brokers.bootstrap_servers), seconds=120, every=1)
        yield brokers
    finally:
        brokers.kill()


def _has_topic(bootstrap_servers: str) -> bool:
    try:
        create_missing_topics({"bootstrap.servers": bootstrap_servers}, [TOPIC], _PARTITIONS)
    except Unavailable:  # on a busy machine, a new broker does not answer at once
        return False
    return True


@contextmanager
def _collectors(
    directory: Path, kafka_servers: str, store: str, *, own_distribution: bool
) -> Iterator[tuple[CollectorProcess, CollectorProcess]]:
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
    processes = (
        CollectorProcess(directory / "collector", render(pipeline), garbage_collection(_MEMORY)),
        CollectorProcess(directory / "sampler", render_sampler(sampler), _SAMPLER_MEMORY),
    )
    try:
        for process in processes:
            process.start()
        yield processes
    finally:
        for process in processes:
            process.kill()


@dataclass(frozen=True, kw_only=True)
class End:
    """The trace store at the end of the path."""

    otlp: str
    """host:port of its OTLP."""
    process: ServerProcess
    settle: Callable[[], None]
    """Waits until it has done with the spans what it does with them later."""
    disk_bytes: Callable[[], int]
    """Returns the bytes of all its spans; it may end the process."""


@contextmanager
def _jaeger(directory: Path) -> Iterator[End]:
    folder = directory / "jaeger"
    folder.mkdir()
    process = JaegerProcess(folder)

    def stored() -> int:
        process.stop()  # it writes what it has in memory, and gives back the room that it reserved
        return _disk_bytes(folder / "data")

    try:
        process.start()
        yield End(otlp=process.otlp, process=process, settle=lambda: time.sleep(1), disk_bytes=stored)
    finally:
        process.kill()


@contextmanager
def _tempo(directory: Path) -> Iterator[End]:
    folder = directory / "tempo"
    folder.mkdir()
    config = tempo_config(Traces(), "48h")
    config["live_store"] |= {"max_block_duration": f"{_BLOCK_SECONDS}s"}
    blocks = folder / "data" / "blocks"

    def settle() -> None:
        """Wait until no further block appears."""
        sizes = [0]

        def is_unchanged() -> bool:
            sizes.append(_disk_bytes(blocks))
            return 0 < sizes[-1] == sizes[-2]

        poll_until("Tempo's last block", is_unchanged, every=2 * _BLOCK_SECONDS)

    with tempo.running(tempo.binary(), config, folder) as (otlp, _, process):
        yield End(otlp=otlp, process=process, settle=settle, disk_bytes=lambda: _disk_bytes(blocks))


_STORES: Final = {"jaeger": _jaeger, "tempo": _tempo}


def _disk_bytes(folder: Path) -> int:
    """Bytes that the files of a folder occupy; a file may be longer than that."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


_PROCESSES: Final = ("collector", "kafka", "sampler")
_IDLE: Final = {"kafka": "path.kafkaIdle", "tempo": "tempo.idle"}
"""Process → the figure of what it uses without load; the others use almost nothing."""


def figures(runs: Sequence[Run], store: Store, *, own_distribution: bool) -> dict[str, list[float]]:
    """Return the figures of these runs: name → the values of the runs."""
    names = {"collector": "path.onePass" if own_distribution else "path.collector", store: f"{store}.cpu"}
    return {
        **{
            names.get(name, f"path.{name}"): [run.usage[name].microseconds(run.spans) for run in runs]
            for name in (*_PROCESSES, store)
        },
        **{
            name: [run.usage[process].idle for run in runs]
            for process, name in _IDLE.items()
            if process in ("kafka", store)
        },
        "path.kafkaBytes": [run.kafka_bytes for run in runs],
        f"{store}.bytes": [run.store_bytes for run in runs],
    }


def show(values: Mapping[str, Sequence[float]], console: Console) -> None:
    """Print figures: the median of the rounds, the lowest and the highest."""
    table = Table(title="What a span costs on its path", title_justify="left")
    for heading in ("figure", "median", "lowest … highest", "unit"):
        table.add_column(heading, justify="left" if heading in ("figure", "unit") else "right")
    for name, rounds in values.items():
        quantity = QUANTITIES[name]
        spread = f"{min(rounds):.3g} … {max(rounds):.3g}"
        table.add_row(quantity.title, f"{median(rounds):.3g}", spread, quantity.unit)
    console.print(table)


def run(
    console: Console,
    *,
    rate: float,
    seconds: float,
    rounds: int,
    store: Store,
    own_distribution: bool = False,
    must_record: bool = False,
) -> None:
    """The command: measure some rounds, print the figures, and record them.

    Args:
        console: where the figures are printed.
        rate: spans/s.
        seconds: of load in each round.
        rounds: number of measurements.
        store: the trace store at the end of the path.
        own_distribution: whether the Collector redacts in one pass.
        must_record: whether the figures become those of the repository.

    Raises:
        UserError: a program is missing, or the spans did not arrive in time.
    """
    if own_distribution:
        require_own_distribution()
    runs: list[Run] = []
    queued: list[float] = []
    for number in range(rounds):
        runs.append(measure(rate, seconds, store, own_distribution=own_distribution))
        queued.append(queue_bytes(rate, seconds / 2))
        console.print(f"{number + 1}/{rounds}: {runs[-1].rate:,.0f} spans/s passed", style="dim")
    values = {**figures(runs, store, own_distribution=own_distribution), "path.queueBytes": queued}
    if store == "jaeger":
        values["jaeger.drain"] = [outage(_OUTAGE_RATE, _OUTAGE_SECONDS).drained for _ in range(rounds)]
    show(values, console)
    if must_record:
        record(values, this_run())
