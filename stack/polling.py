"""Wait until a condition holds, with a limit and a name instead of a sleep."""

import time
from collections.abc import Callable
from typing import TypeVar

import httpx

from contracts.errors import UserError

T = TypeVar("T")


class CheckFailure(UserError):
    """A check found something that does not work; the message names it, and what to look at next."""

    def __init__(self, what: str, look_at: str = "") -> None:
        super().__init__(f"{what}\n  look at: {look_at}" if look_at else what)
        self.what = what
        self.look_at = look_at
        """A command, a query or a log."""


def poll_until(
    what: str,
    probe: Callable[[], T | None],
    *,
    seconds: float = 60.0,
    every: float = 0.05,
    look_at: str = "",
    sleep: Callable[[float], object] = time.sleep,
) -> T:
    """Calls `probe` until it returns a truthy value, and returns that value.

    A probe that raises `CheckFailure` or `httpx.HTTPError` is called again; any other exception ends the wait.

    Args:
        what: the awaited condition, as it reads after "waited 60 s for".
        probe: looks once.
        seconds: the limit.
        every: the pause between two calls, in s.
        look_at: the command, query or log that explains why the condition does not hold.
        sleep: pauses for some seconds; what it raises ends the wait.

    Raises:
        CheckFailure: the condition did not hold within the limit; names the condition and the last result of the probe.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = probe()
        except (httpx.HTTPError, CheckFailure) as error:
            last = error.what if isinstance(error, CheckFailure) else repr(error)
        else:
            if value:
                return value
            last = f"the last result was {value!r}"
        if time.monotonic() > deadline:
            raise CheckFailure(f"waited {seconds:g} s for {what}: {last}", look_at)
        sleep(every)
