"""Measures that work takes time in proportion to the length of its text."""

import time
from collections.abc import Callable

from tests.support.profiles import is_quick

SHORT, LONG = (2_000, 16_000) if is_quick() else (4_000, 32_000)
_TRIES = 3


def assert_linear(work: Callable[[str], object], text: Callable[[int], str], most_seconds: float) -> None:
    """Fails if the work on a long text takes too long, or too long for what a short text takes.

    Quadratic work would take 64 times as long for the 8 times longer text.

    Args:
        work: is measured.
        text: returns a text of a length.
        most_seconds: the limit for the long text.
    """
    short = min(_seconds(work, text(SHORT)) for _ in range(_TRIES))
    limit = min(30 * short + 0.005, most_seconds)
    times: list[float] = []
    # Other programs of the machine can make a single measurement slow, so only the last one fails the test.
    while len(times) < _TRIES:
        times.append(_seconds(work, text(LONG)))
        if times[-1] < limit:
            return
    raise AssertionError(f"{LONG} characters took {times} s, {SHORT} took {short} s, and the limit is {limit} s")


def _seconds(work: Callable[[str], object], text: str) -> float:
    started = time.process_time()
    work(text)
    return time.process_time() - started
