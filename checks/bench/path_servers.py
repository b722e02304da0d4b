"""The servers of the benchmark of the whole path, as processes: one broker, and a trace store."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from checks.harness import kafka, kafka_programs, tempo
from checks.harness.collector_with_sampler import create_span_topic
from checks.harness.jaeger import JaegerProcess
from checks.harness.server import ServerProcess
from stack.components.kafka.settings import Kafka
from stack.components.trace_store.config import tempo_config
from stack.components.trace_store.settings import Traces
from stack.polling import poll_until

Store = Literal["jaeger", "tempo"]
_PARTITIONS: Final = 12
_BLOCK_SECONDS: Final = 5
"""Age at which Tempo writes a block; its default is 30 min, and a measurement is shorter."""
_DATA_OF_A_BLOCK: Final = "data.parquet"


@contextmanager
def running_broker(directory: Path) -> Iterator[kafka.KafkaBrokers]:
    """Run one broker, which has the topic of spans."""
    folder = directory / "kafka"
    folder.mkdir()
    brokers = kafka.KafkaBrokers(folder, kafka_programs.libraries())
    brokers.configure(Kafka(brokers=1))
    try:
        brokers.start(0)
        create_span_topic(brokers.bootstrap_servers, _PARTITIONS)
        yield brokers
    finally:
        brokers.kill()


@dataclass(frozen=True, kw_only=True)
class End:
    """The trace store at the end of the path."""

    otlp: str
    """host:port of its OTLP."""
    process: ServerProcess
    settle: Callable[[], None]
    """Waits until it has done with the spans what it does with them later."""
    blocks: Callable[[], int]
    """Returns the number of blocks that it has written."""
    disk_bytes: Callable[[], int]
    """Returns the bytes of all its spans; it may end the process."""


@contextmanager
def _jaeger(directory: Path) -> Iterator[End]:
    folder = directory / "jaeger"
    folder.mkdir()
    process = JaegerProcess(folder)

    def stored() -> int:
        process.stop()  # it writes what it has in memory, and gives back the room that it reserved
        return disk_bytes(folder / "data")

    try:
        process.start()
        yield End(
            otlp=process.otlp,
            process=process,
            settle=lambda: time.sleep(1),
            blocks=lambda: 0,
            disk_bytes=stored,
        )
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
            sizes.append(disk_bytes(blocks))
            return 0 < sizes[-1] == sizes[-2]

        poll_until("Tempo's last block", is_unchanged, every=2 * _BLOCK_SECONDS)

    with tempo.running(tempo.binary(), config, folder) as (otlp, _, process):
        yield End(
            otlp=otlp,
            process=process,
            settle=settle,
            blocks=lambda: len([*blocks.glob(f"*/*/{_DATA_OF_A_BLOCK}")]),
            disk_bytes=lambda: disk_bytes(blocks),
        )


STORES: Final = {"jaeger": _jaeger, "tempo": _tempo}
"""Name of a trace store → what runs it."""


def disk_bytes(folder: Path) -> int:
    """Bytes that the files of a folder occupy; a file may be longer than that."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
