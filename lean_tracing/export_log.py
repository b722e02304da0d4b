"""The log of the export of one signal, and the count of its own errors."""

import logging
import time
from typing import Final

from lean_tracing.statistics import SignalStatistics

_WARN_EVERY: Final = 60.0  # seconds, for each reason
_logger = logging.getLogger(__name__)


class ExportLog:
    """Writes warnings, at most one a minute for each reason. Never raises."""

    def __init__(self, statistics: SignalStatistics) -> None:
        """Creates a log for the signal of these statistics."""
        self.noun = "spans" if statistics.signal == "traces" else "log records"
        self.logger = _logger
        self._statistics = statistics
        self._warned: dict[str, float] = {}

    def count_error(self, kind: str) -> None:
        """Counts an error of the export itself."""
        self._statistics.errors[kind] += 1

    def warn(self, reason: str, text: str) -> None:
        """Logs a warning, unless there was one for this reason within the last minute."""
        now = time.monotonic()
        if now - self._warned.get(reason, -_WARN_EVERY) >= _WARN_EVERY:
            self._warned[reason] = now
            self.write(logging.WARNING, f"{text}; the metrics count further ones")

    def write(self, level: int, text: str) -> None:
        """Logs a line. A receiver's reason may be part of it, which must not begin another line or color a terminal."""
        if not text.isprintable():
            text = "".join(character if character.isprintable() else " " for character in text)
        # A handler or a filter of the application may raise; the export continues.
        try:
            _logger.log(level, "%s", text)
        except Exception:
            self.count_error("log")
