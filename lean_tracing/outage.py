"""Logs an outage of the receiver: one line when it begins, one line when it is over."""

import logging
import time
from collections.abc import Callable
from typing import Final

from lean_tracing.export_result import ExportResult

# A receiver that fails with every other request must not fill the log: so many lines at once, then one a minute.
_LINES_AT_ONCE: Final = 6
_SECONDS_PER_LINE: Final = 60.0


class OutageLog:
    """For use in one thread. An outage lasts until a request is accepted and nothing waits any more."""

    def __init__(
        self,
        noun: str,
        receiver: str,
        log: Callable[[int, str], None],
        lost: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Creates a log without an outage.

        Args:
            noun: what is exported.
            receiver: its address.
            log: writes a line with a level.
            lost: the number of items lost since the start.
            clock: in seconds.
        """
        self._noun = noun
        self._receiver = receiver
        self._log = log
        self._lost = lost
        self._clock = clock
        self._lines = float(_LINES_AT_ONCE)
        self._refilled = clock()
        self._unreported = 0  # outages without a line
        self._reset()

    def _reset(self) -> None:
        self.is_active = False
        self.sent_late = 0
        """Items of this outage that were sent after all."""
        self._began = 0.0
        self._ended: float | None = None
        self._lost_before = 0
        self._result = ExportResult(code="ok")
        # Whether it was reported that requests wait (True), and that they are refused for good (False).
        self._reported: set[bool] = set()

    def failed(self, result: ExportResult) -> None:
        """Records a request that was not accepted. To be called before its items are counted as lost."""
        if not self.is_active:
            self.is_active = True
            self._began = self._clock()
            self._lost_before = self._lost()
        self._ended = None
        self._result = result

    def accepted(self) -> None:
        """Records a request that was accepted."""
        if self.is_active and self._ended is None:
            self._ended = self._clock()

    def report(self, waiting: int, room: str) -> None:
        """Logs what is new.

        Args:
            waiting: items that are not sent yet.
            room: for how long there is room for more, as the end of a sentence.
        """
        lost = self._lost() - self._lost_before
        retryable = self._result.retryable
        is_news = retryable not in self._reported and not (retryable and self._reported)
        if is_news and self._take_line():
            self._reported.add(retryable)
            self._log(logging.WARNING, self._describe(waiting, room, lost))
        if self._ended is not None and not waiting:
            if self._reported:
                self._log(
                    logging.INFO,
                    f"{self._noun} are exported to {self._receiver} again after "
                    f"{format_duration(self._ended - self._began)}: {self.sent_late} sent late, {lost} lost",
                )
            else:
                self._unreported += 1
            self._reset()

    def _describe(self, waiting: int, room: str, lost: int) -> str:
        result = self._result
        reason = f"{result.code} ({result.detail})" if result.detail else result.code
        earlier = f"; {self._unreported} short outages before this one were not logged" if self._unreported else ""
        self._unreported = 0
        if result.retryable:
            return (
                f"{self._noun} cannot be exported to {self._receiver}: {reason}; "
                f"{waiting} {self._noun} wait{room}{earlier}"
            )
        return (
            f"{self._noun} are refused by {self._receiver}: {reason}; {lost} {self._noun} lost so far, {waiting} "
            f"wait; refused {self._noun} are not sent again{earlier}"
        )

    def _take_line(self) -> bool:
        now = self._clock()
        self._lines = min(_LINES_AT_ONCE, self._lines + (now - self._refilled) / _SECONDS_PER_LINE)
        self._refilled = now
        if self._lines < 1:
            return False
        self._lines -= 1
        return True


def format_duration(seconds: float) -> str:
    """In seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
