"""Waiting for what will be, with a limit and a name instead of a sleep."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_never = threading.Event()


def poll_until(what: str, probe: Callable[[], T | None], *, seconds: float = 20.0, every: float = 0.02) -> T:
    """The first truthy value of `probe`; an AssertionError that names `what` once the time is over."""
    deadline = time.monotonic() + seconds
    seen: object = None
    while time.monotonic() < deadline:
        value = probe()
        if value:
            return value
        seen = value
        _never.wait(every)
    raise AssertionError(f"no {what} within {seconds:g} s; last seen: {seen!r}")
