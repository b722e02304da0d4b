"""Reads lines with a time limit, from a terminal or a pipe."""

import os
import select
import time


class Lines:
    """The lines of a file descriptor."""

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self.ended = False
        """Whether there will be no other line."""

    def read(self, seconds: float) -> str | None:
        """The next line without its end; None if there is none within the time, or no other line at all."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._rest:
            remaining = max(0.0, deadline - time.monotonic())
            if not select.select([self._descriptor], [], [], remaining)[0]:
                return None
            chunk = os.read(self._descriptor, 4096)
            if not chunk:
                self.ended = True
                line, self._rest = self._rest, b""
                return line.decode(errors="replace") if line else None
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")
