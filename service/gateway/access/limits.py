"""Limits of each caller. Each pod of the gateway applies them for itself: N pods admit up to N times as much."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from contracts.access import Refusal
from service.gateway.access.refused import Refused

_MOST_CALLERS: Final = 10_000
"""Callers whose rate is remembered. Those that have paused long enough are forgotten first."""
_BUSY_SECONDS: Final = 1.0


class Rate:
    """A token bucket for each caller, as the generic cell rate algorithm computes it: one number a caller."""

    def __init__(self, per_minute: int, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Sets the limit.

        Args:
            per_minute: requests that a caller may send for ever.
            burst: requests that a caller may send at once after a pause.
            clock: seconds.
        """
        self._interval = 60.0 / per_minute
        self._tolerance = self._interval * (burst - 1)
        self._clock = clock
        self._full_at: dict[str, float] = {}
        """When the bucket of a caller will be full again."""

    def take(self, caller: str) -> None:
        """Counts a request. Raises Refused, and counts nothing, if the caller's bucket is empty."""
        now = self._clock()
        full_at = max(now, self._full_at.get(caller, now))
        if full_at - now > self._tolerance:
            raise Refused(Refusal.RATE, full_at - now - self._tolerance)
        if caller not in self._full_at and len(self._full_at) >= _MOST_CALLERS:
            self._forget(now)
        self._full_at[caller] = full_at + self._interval

    def _forget(self, now: float) -> None:
        self._full_at = {caller: time for caller, time in self._full_at.items() if time > now}
        if len(self._full_at) >= _MOST_CALLERS:
            raise Refused(Refusal.RATE, _BUSY_SECONDS)


class Concurrency:
    """Requests of each caller that are in progress."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._active: Counter[str] = Counter()

    @contextmanager
    def entered(self, caller: str) -> Iterator[None]:
        """Counts a request while the context is open. Raises Refused if there are too many."""
        if self._active[caller] >= self._most:
            raise Refused(Refusal.CONCURRENCY, _BUSY_SECONDS)
        self._active[caller] += 1
        try:
            yield
        finally:
            self._active[caller] -= 1
            if not self._active[caller]:
                del self._active[caller]
