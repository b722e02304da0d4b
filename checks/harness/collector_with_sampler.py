"""A Collector and a sampler as processes, with Kafka between them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from checks.harness.collector import CollectorProcess
from collector.pipeline import Pipeline, Sampler, render, render_sampler

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


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
