"""A Collector and a sampler as processes, with Kafka between them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from checks.harness.collector import CollectorProcess
from collector.pipeline import TOPIC, Pipeline, Sampler, render, render_sampler
from service.common.errors import Unavailable
from service.common.kafka.topics import create_missing_topics
from stack.polling import poll_until

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def create_span_topic(bootstrap_servers: str, partitions: int) -> None:
    """Create the topic between them. On a busy machine, a new broker does not answer at once."""

    def has_topic() -> bool:
        try:
            create_missing_topics({"bootstrap.servers": bootstrap_servers}, [TOPIC], partitions)
        except Unavailable:
            return False
        return True

    poll_until("the topic", has_topic, seconds=120, every=1)


@contextmanager
def collector_with_sampler(
    folder: Path,
    pipeline: Pipeline,
    sampler: Sampler,
    *,
    collector_environment: Mapping[str, str] = _NONE,
    sampler_environment: Mapping[str, str] = _NONE,
) -> Iterator[tuple[CollectorProcess, CollectorProcess]]:
    """Start both; they are killed in the end.

    Args:
        folder: of the files.
        pipeline: of the Collector.
        sampler: its configuration.
        collector_environment: variables of the Collector.
        sampler_environment: variables of the sampler.

    Raises:
        MissingProgram: the Collector's program is not on this machine.
    """
    processes = (
        CollectorProcess(folder / "collector", render(pipeline), collector_environment),
        CollectorProcess(folder / "sampler", render_sampler(sampler), sampler_environment),
    )
    try:
        for process in processes:
            process.start()
        yield processes
    finally:
        for process in processes:
            process.kill()
