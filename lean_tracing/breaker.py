"""Circuit breaker: after several failures in a row nothing is sent, apart from a trial from time to time."""

import time
from collections.abc import Callable
from enum import IntEnum


class State(IntEnum):
    """The numbers are those of the metric `tracing_breaker_state`."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """For use in one thread. Closed, it allows everything; open, one trial every `reset_seconds`. Success closes it."""

    def __init__(self, failures: int, reset_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Creates a closed breaker.

        Args:
            failures: number in a row that opens it.
            reset_seconds: time between two trials.
            clock: in seconds.
        """
        self._limit = failures
        self._reset = reset_seconds
        self._clock = clock
        self._failures = 0
        self._next_trial = 0.0
        self.state = State.CLOSED
        self.opened = 0

    def allows(self) -> bool:
        """Whether something may be sent now. If the breaker is open, a yes starts a trial.

        A trial without a result ends when the next one is due.
        """
        if self.state is State.CLOSED:
            return True
        if self._clock() < self._next_trial:
            return False
        self.state = State.HALF_OPEN
        self._next_trial = self._clock() + self._reset
        return True

    def seconds_until_trial(self) -> float:
        """Time until something may be sent; 0 if it may be now."""
        return max(0.0, self._next_trial - self._clock()) if self.state is not State.CLOSED else 0.0

    def succeeded(self) -> None:
        """The receiver answered, if only with a refusal."""
        self._failures = 0
        self.state = State.CLOSED

    def failed(self, retry_after: float | None = None) -> None:
        """The receiver did not answer, or is too busy.

        Args:
            retry_after: seconds after which it asked to be tried again.
        """
        self._failures += 1
        if retry_after or self.state is State.HALF_OPEN or self._failures >= self._limit:
            if self.state is State.CLOSED:
                self.opened += 1
            self.state = State.OPEN
            self._next_trial = self._clock() + (retry_after or self._reset)

    def try_now(self) -> None:
        """Allows a trial at once, however short ago the last one was: at the end of the process there is no later."""
        self._next_trial = 0.0
