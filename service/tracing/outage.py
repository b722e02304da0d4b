"""What the log says of an outage of the receiver: a line when it begins, a line when it is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from service.tracing.otlp_exporter import ExportResult

# A receiver that fails with every other request must not fill the log.
_LINES_AT_ONCE: Final = 6
_SECONDS_A_LINE: Final = 60.0


class OutageLog:
    """For one thread. An outage lasts from a request that is not accepted until one is, and nothing waits any more."""

    def __init__(
        self,
        noun: str,
        receiver: str,
        say: Callable[[int, str], None],
        lost: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """noun: what is exported. say: takes a level and a line. lost: how many items were lost since the start."""
        self._noun = noun
        self._receiver = receiver
        self._say = say
        self._lost = lost
        self._clock = clock
        self._lines = float(_LINES_AT_ONCE)
        self._refilled = clock()
        self._silent = 0  # outages that no line was written of
        self._reset()

    def _reset(self) -> None:
        self.lasts = False
        self.late = 0
        """Items of this outage that were sent after all."""
        self._began = 0.0
        self._ended: float | None = None
        self._lost_before = 0
        self._result = ExportResult(code="ok")
        self._said: set[bool] = set()  # of answers that allow another try, and of those that do not

    def failed(self, result: ExportResult) -> None:
        """A request was not accepted. To be called before its items are counted as lost."""
        if not self.lasts:
            self.lasts = True
            self._began = self._clock()
            self._lost_before = self._lost()
        self._ended = None
        self._result = result

    def accepted(self) -> None:
        """A request was accepted."""
        if self.lasts and self._ended is None:
            self._ended = self._clock()

    def tell(self, waiting: int, room: str) -> None:
        """Writes what there is to say. waiting: items that are not sent yet; room: how long there is room for more."""
        lost = self._lost() - self._lost_before
        kind = self._result.retryable
        if kind not in self._said and not (kind and self._said) and self._may_speak():
            self._said.add(kind)
            self._say(logging.WARNING, self._begin(waiting, room, lost))
        if self._ended is not None and not waiting:
            if self._said:
                self._say(
                    logging.INFO,
                    f"{self._noun} are exported to {self._receiver} again after {duration(self._ended - self._began)}: "
                    f"{self.late} sent late, {lost} lost",
                )
            else:
                self._silent += 1
            self._reset()

    def _begin(self, waiting: int, room: str, lost: int) -> str:
        result = self._result
        why = f"{result.code} ({result.detail})" if result.detail else result.code
        silent = f"; {self._silent} short outages before this one were not logged" if self._silent else ""
        self._silent = 0
        if result.retryable:
            return (
                f"{self._noun} cannot be exported to {self._receiver}: {why}; {waiting} {self._noun} wait{room}{silent}"
            )
        return (
            f"{self._noun} are refused by {self._receiver}: {why}; {lost} {self._noun} lost so far, {waiting} "
            f"wait; what is refused is not sent again{silent}"
        )

    def _may_speak(self) -> bool:
        now = self._clock()
        self._lines = min(_LINES_AT_ONCE, self._lines + (now - self._refilled) / _SECONDS_A_LINE)
        self._refilled = now
        if self._lines < 1:
            return False
        self._lines -= 1
        return True


def duration(seconds: float) -> str:
    """As people say it."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
