"""Delays between attempts."""

from typing import Final

_SHORTEST_SECONDS: Final = 0.1
_LONGEST_SECONDS: Final = 10.0


class Backoff:
    """Delays that double, from 0.1 s up to 10 s."""

    def __init__(self) -> None:
        self._next = _SHORTEST_SECONDS

    def next_delay(self) -> float:
        """Seconds until the next attempt."""
        delay, self._next = self._next, min(self._next * 2, _LONGEST_SECONDS)
        return delay

    def reset(self) -> None:
        """Starts again with the shortest delay, after a success."""
        self._next = _SHORTEST_SECONDS
