"""Loops in background threads that continue after any exception."""

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Final

_MIN_PAUSE: Final = 0.1  # seconds
_MAX_PAUSE: Final = 10.0


class StepRunner:
    """Runs the steps of a loop. After an exception it counts, logs, and pauses; the pause doubles with each failure.

    It logs the 1st, 2nd, 4th, 8th failure in a row and so on, so that a step that always fails does not fill the log.
    """

    def __init__(
        self,
        name: str,
        wait: Callable[[float], object],
        logger: logging.Logger,
        on_error: Callable[[], object] = lambda: None,
    ) -> None:
        """Creates a runner.

        Args:
            name: of the loop, for the log.
            wait: waits for a number of seconds, and ends early when the loop has to end.
            logger: where failures are logged.
            on_error: called after each failure.
        """
        self._name = name
        self._wait = wait
        self._logger = logger
        self._on_error = on_error
        self._failures_in_a_row = 0

    def run(self, step: Callable[[], object]) -> None:
        """Runs one step. Catches everything, SystemExit included, which would end a thread without a message."""
        try:
            step()
        except BaseException as error:
            self._failures_in_a_row += 1
            count = self._failures_in_a_row
            with contextlib.suppress(Exception):
                self._on_error()
            if count & (count - 1) == 0:
                self._log(logging.ERROR, "%s: failure %d, the loop continues", self._name, count, error=error)
            self._wait(min(_MAX_PAUSE, _MIN_PAUSE * 2 ** min(count - 1, 10)))
        else:
            if self._failures_in_a_row:
                self._log(logging.INFO, "%s: works again after %d failures", self._name, self._failures_in_a_row)
                self._failures_in_a_row = 0

    def _log(self, level: int, text: str, *values: object, error: BaseException | None = None) -> None:
        # A handler or a filter of the application may raise as well.
        with contextlib.suppress(Exception):
            self._logger.log(level, text, *values, exc_info=error)


class Loop:
    """A daemon thread that runs one step after the other until it is stopped."""

    def __init__(
        self,
        name: str,
        step: Callable[[], float],
        logger: logging.Logger,
        on_error: Callable[[], object] = lambda: None,
    ) -> None:
        """Creates a loop that has not started yet.

        Args:
            name: of the thread, for the log.
            step: returns the seconds until the next step.
            logger: where failures are logged.
            on_error: called after each failure.
        """
        self._step = step
        self._stopping = threading.Event()
        self._runner = StepRunner(name, self._stopping.wait, logger, on_error)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Runs no further step, and waits at most this long for the current one."""
        self._stopping.set()
        self._thread.join(seconds)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._runner.run(lambda: self._stopping.wait(self._step()))
