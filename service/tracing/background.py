"""Loops in background threads that no exception ends."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Final

_SHORTEST_PAUSE: Final = 0.1  # seconds
_LONGEST_PAUSE: Final = 10.0


class Survivor:
    """Runs the steps of a loop. What one raises is counted, logged and followed by a pause that doubles.

    Of failures in a row the 1st, 2nd, 4th, 8th and so on are logged: a step that always fails fills no log.
    """

    def __init__(
        self,
        name: str,
        wait: Callable[[float], object],
        logger: logging.Logger,
        failed: Callable[[], object] = lambda: None,
    ) -> None:
        """name: of the loop, for the log. wait: takes seconds, ends early when the loop has to end. failed: counts."""
        self._name = name
        self._wait = wait
        self._logger = logger
        self._failed = failed
        self._in_a_row = 0
        self.errors = 0

    def run(self, step: Callable[[], object]) -> None:
        """One step. Nothing that it raises gets out, SystemExit included: in a thread that would end it in silence."""
        try:
            step()
        except BaseException as error:
            self.errors += 1
            self._in_a_row += 1
            with contextlib.suppress(Exception):
                self._failed()
            if self._in_a_row & (self._in_a_row - 1) == 0:
                self._say(logging.ERROR, "%s: failure %d, it goes on", self._name, self._in_a_row, error=error)
            self._wait(min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2 ** min(self._in_a_row - 1, 10)))
        else:
            if self._in_a_row:
                self._say(logging.INFO, "%s: works again after %d failures", self._name, self._in_a_row)
                self._in_a_row = 0

    def _say(self, level: int, text: str, *values: object, error: BaseException | None = None) -> None:
        # A handler or a filter of the application may raise as well.
        with contextlib.suppress(Exception):
            self._logger.log(level, text, *values, exc_info=error)


class Loop:
    """A daemon thread that takes one step after the other until it is stopped."""

    def __init__(
        self,
        name: str,
        step: Callable[[], float],
        logger: logging.Logger,
        failed: Callable[[], object] = lambda: None,
    ) -> None:
        """step: returns the seconds until the next one."""
        self._step = step
        self._stopping = threading.Event()
        self._survivor = Survivor(name, self._stopping.wait, logger, failed)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Takes no further step; waits at most this long for the one under way."""
        self._stopping.set()
        self._thread.join(seconds)

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    @property
    def alive(self) -> bool:
        """Whether it still takes steps."""
        return self._thread.is_alive()

    @property
    def errors(self) -> int:
        """Steps that raised."""
        return self._survivor.errors

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._survivor.run(lambda: self._stopping.wait(self._step()))
