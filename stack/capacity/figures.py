"""What the benchmarks measured: `figures.yaml`, which only they write, with `--record`."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

import yaml

from contracts.errors import UserError
from stack.settings import ROOT

FILE: Final = Path(__file__).with_name("figures.yaml")
_HEAD: Final = "# Written by the benchmarks with `--record`; see docs/capacity.md. Do not edit.\n"
_DIGITS: Final = 4
_LEAST: Final = 0.001
"""Smaller numbers are not written out."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Something that a benchmark measures."""

    title: str
    unit: str
    command: str
    """That measures it, and records it with `--record`."""


_CAPACITY: Final = "make capacity"
_BENCH: Final = "make bench"
_PATH: Final = "make path"

QUANTITIES: Final[Mapping[str, Quantity]] = {
    "collector.plain": Quantity(title="a usual Collector, queue in memory", unit="spans/s per core", command=_CAPACITY),
    "collector.complete": Quantity(
        title="a Collector with all of this project's steps", unit="spans/s per core", command=_CAPACITY
    ),
    "collector.onePass": Quantity(title="the same, redacted in one pass", unit="spans/s per core", command=_CAPACITY),
    "library.request": Quantity(title="tracing of an HTTP request", unit="µs of CPU", command=_BENCH),
    "library.create": Quantity(title="tracing of HTTP, SQL and a message", unit="µs of CPU", command=_BENCH),
    "library.span": Quantity(title="tracing of one span in a loop", unit="µs of CPU", command=_BENCH),
    "library.memory": Quantity(title="memory of the tracing library", unit="MiB a process", command=_BENCH),
    "path.collector": Quantity(title="a span in a Collector that sends to Kafka", unit="µs of CPU", command=_PATH),
    "path.onePass": Quantity(title="the same, redacted in one pass", unit="µs of CPU", command=_PATH),
    "path.sampler": Quantity(title="a span in a sampler that stores it", unit="µs of CPU", command=_PATH),
    "path.kafka": Quantity(title="a span in Kafka, with one broker", unit="µs of CPU", command=_PATH),
    "path.kafkaIdle": Quantity(title="a broker without load", unit="cores", command=_PATH),
    "path.kafkaBytes": Quantity(title="a span in Kafka's log", unit="bytes", command=_PATH),
    "path.queueBytes": Quantity(title="a span in the queue of a Collector", unit="bytes", command=_PATH),
    "jaeger.cpu": Quantity(title="a span in Jaeger with its store on disk", unit="µs of CPU", command=_PATH),
    "jaeger.idle": Quantity(title="Jaeger without load", unit="cores", command=_PATH),
    "jaeger.bytes": Quantity(title="a span on the disk of Jaeger", unit="bytes", command=_PATH),
    "jaeger.drain": Quantity(title="Jaeger, from the full queue of a Collector", unit="spans/s", command=_PATH),
    "tempo.cpu": Quantity(title="a span in Tempo, one process", unit="µs of CPU", command=_PATH),
    "tempo.idle": Quantity(title="Tempo without load", unit="cores", command=_PATH),
    "tempo.blockCpu": Quantity(title="a block of Tempo, besides its spans", unit="µs of CPU", command=_PATH),
    "tempo.bytes": Quantity(title="a span in Tempo's blocks", unit="bytes", command=_PATH),
    "tempo.blockBytes": Quantity(title="a block on the disk of Tempo, besides its spans", unit="bytes", command=_PATH),
}
"""By name; in the order of the page."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A measured value, and where it comes from."""

    value: float
    """Median of the rounds."""
    low: float
    high: float
    rounds: int
    date: str
    machine: str
    version: str
    """Commit of this repository."""


Figures = Mapping[str, Figure]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where figures come from."""

    date: str
    machine: str
    version: str


def load(file: Path = FILE) -> Figures:
    """Return the recorded figures, by name.

    Raises:
        UserError: a figure has not been recorded.
    """
    document = yaml.safe_load(file.read_text()) if file.exists() else {}
    if missing := [name for name in QUANTITIES if name not in (document or {})]:
        raise UserError(
            f"{file}: the figure {missing[0]} is missing; `{QUANTITIES[missing[0]].command} ARGS=--record` measures it"
        )
    return {name: Figure(**document[name]) for name in QUANTITIES}


def record(rounds: Mapping[str, Sequence[float]], source: Source, file: Path = FILE) -> None:
    """Write figures into the file; the others stay.

    Args:
        rounds: name → the values of each round.
        source: of these values.
        file: that has the figures.

    Raises:
        UserError: a figure is below 0, because other programs disturbed the measurement; nothing is written.
    """
    if disturbed := [name for name, values in rounds.items() if median(values) < 0]:
        raise UserError(f"{disturbed[0]} was measured as less than 0: other programs disturb it; measure again")
    document = (yaml.safe_load(file.read_text()) if file.exists() else None) or {}
    for name, values in rounds.items():
        assert name in QUANTITIES, name
        document[name] = asdict(
            Figure(
                value=_rounded(median(values)),
                low=_rounded(min(values)),
                high=_rounded(max(values)),
                rounds=len(values),
                **asdict(source),
            )
        )
    ordered = {name: document[name] for name in QUANTITIES if name in document}
    file.write_text(_HEAD + yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True))


def this_run() -> Source:
    """Return today, this machine and the commit that is checked out."""
    match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    processor = match[1].strip() if match else os.uname().machine
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    described = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return Source(
        date=datetime.now(UTC).date().isoformat(),
        machine=f"{os.cpu_count()} cores, {processor}",
        version=described.stdout.strip() or "unknown",
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def in_digits(value: float) -> str:
    """Return a number with three digits: 37,000, 44.2, 0.0275."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:.3g}"


def in_full(value: float) -> str:
    """Return a number in full, or with three digits if it is small: 80,000, 57.2, 0.0571, < 0.001."""
    if 0 < value < _LEAST:
        return f"< {_LEAST}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
