"""The sources of an engineer's lines: a terminal or a pipe, a file that grows, or prepared texts."""

import contextlib
import os
import select
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from contracts.errors import UserError

MAX_LINE: Final = 65_536
"""Bytes after which a line without an end is taken as it is, so that an endless one does not stop the clock."""
_POLL_SECONDS: Final = 0.2


class Lines:
    """The lines of a terminal or a pipe, read with a time limit."""

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self.ended = False
        """Whether there will be no other line."""

    def read(self, seconds: float) -> str | None:
        """The next line without its end; None if there is none within the time, or no other line at all."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._rest:
            chunk = self._read_chunk(max(0.0, deadline - time.monotonic()))
            if chunk is None:
                return None
            if not chunk:
                self.ended = True
                line, self._rest = self._rest, b""
                return line.decode(errors="replace") if line else None
            self._rest += chunk
            if len(self._rest) >= MAX_LINE and b"\n" not in self._rest:
                line, self._rest = self._rest, b""
                return line.decode(errors="replace")
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")

    def _read_chunk(self, seconds: float) -> bytes | None:
        """The next bytes; None if there are none within the time; no bytes at the end of the input."""
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return None
        return os.read(self._descriptor, 4096)


class AppendedLines(Lines):
    """The lines that other processes append to a file while a drill runs. The input never ends."""

    def _read_chunk(self, seconds: float) -> bytes | None:
        deadline = time.monotonic() + seconds
        while not (chunk := os.read(self._descriptor, 4096)):
            if time.monotonic() >= deadline:
                return None
            time.sleep(_POLL_SECONDS)
        return chunk


class PreparedLines:
    """Prepared texts in place of a terminal."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = list(texts)
        self.ended = not texts

    def read(self, seconds: float) -> str | None:
        """The next text."""
        line = self._texts.pop(0) if self._texts else None
        self.ended = not self._texts
        return line


@contextlib.contextmanager
def appended(path: Path) -> Iterator[Lines]:
    """The lines that are written into a file or a named pipe from now on; the file is created if it does not exist.

    Raises:
        UserError: the file cannot be opened.
    """
    try:
        # A named pipe that is open for writing here does not end when a writer closes it.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UserError(f"the file of the answers {path} cannot be opened: {error.strerror}") from None
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            yield Lines(descriptor)
        else:
            os.lseek(descriptor, 0, os.SEEK_END)
            yield AppendedLines(descriptor)
    finally:
        os.close(descriptor)
