"""What a hostile input must not do: fail in another way than it may, hang, end a process, or take its memory."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from checks.security.outcome import Outcome

_SECONDS: Final = 200.0
"""Each boundary ends after this time, also if not all inputs were tried."""
HANG_SECONDS: Final = 10.0
"""An input that takes longer hangs."""
_MORE_MIB: Final = 200
"""Memory that a process may have in addition after all inputs."""
VALID_EVERY: Final = 500
"""Inputs between two valid ones, which must have their effect."""


def numbers(count: int) -> Iterator[int]:
    """Yield numbers from 0, until the time is over."""
    end = time.monotonic() + _SECONDS
    for number in range(count):
        if time.monotonic() > end:
            return
        yield number


def try_input(outcome: Outcome, call: Callable[[], object], *, allowed: type[Exception] | tuple[()] = ()) -> None:
    """Add to the outcome whether a call with a hostile input fails, other than with the allowed error, or hangs."""
    started = time.monotonic()
    try:
        call()
        error = None
    except allowed:
        error = None
    except Exception as failure:  # what the check looks for
        error = f"{type(failure).__name__}: {failure}"[:200]
    if error is None and time.monotonic() - started > HANG_SECONDS:
        error = "hangs"
    outcome.add(error)


@contextlib.contextmanager
def bounded(outcome: Outcome, processes: Mapping[str, int]) -> Iterator[None]:
    """Add processes that end, or whose memory grows, to the outcome. processes: process ids by name."""
    at_start = {name: _resident_mib(pid) for name, pid in processes.items()}
    yield
    for name, pid in processes.items():
        try:
            growth = _resident_mib(pid) - at_start[name]
        except OSError:
            outcome.successes.append(f"{name} ended")
            continue
        outcome.notes = f"{outcome.notes} {name} {growth:+.0f} MiB".strip()
        if growth > _MORE_MIB:
            outcome.successes.append(f"{name} needs {growth:.0f} MiB more")


def _resident_mib(pid: int) -> float:
    match = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if match is None:  # a process that has ended, and that its parent has not waited for
        raise ProcessLookupError(pid)
    return int(match[1]) / 1024
