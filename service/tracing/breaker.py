"""Circuit breaker: after several failures in a row nothing is sent, apart from one trial now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import IntEnum


class State(IntEnum):
    """The numbers are those of the metric."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """For one thread. Closed it lets everything through, open one trial every `reset_seconds`; a success closes it."""

    def __init__(self, failures: int, reset_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """failures: in a row, until it opens."""
        self._limit = failures
        self._reset = reset_seconds
        self._clock = clock
        self._failures = 0
        self._try_at = 0.0
        self.state = State.CLOSED
        self.opened = 0

    def allows(self) -> bool:
        """Whether something may be sent now. Each yes of an open breaker is the trial; one without an answer is over
        when the next is due."""
        if self.state is State.CLOSED:
            return True
        if self._clock() < self._try_at:
            return False
        self.state = State.HALF_OPEN
        self._try_at = self._clock() + self._reset
        return True

    def seconds_until_trial(self) -> float:
        """0 where something may be sent."""
        return max(0.0, self._try_at - self._clock()) if self.state is not State.CLOSED else 0.0

    def succeeded(self) -> None:
        """The receiver answered, be it with a refusal."""
        self._failures = 0
        self.state = State.CLOSED

    def failed(self, retry_after: float | None = None) -> None:
        """The receiver did not answer, or has no time; `retry_after` is when it says that it has, in s from now."""
        self._failures += 1
        if retry_after or self.state is State.HALF_OPEN or self._failures >= self._limit:
            if self.state is State.CLOSED:
                self.opened += 1
            self.state = State.OPEN
            self._try_at = self._clock() + (retry_after or self._reset)

    def try_now(self) -> None:
        """Makes the next question a trial, however short ago the last was: for the end, when there is no later."""
        self._try_at = 0.0
