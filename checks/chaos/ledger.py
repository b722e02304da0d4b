"""The ledger: which requests were acknowledged, on disk before anything else happens."""

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self


class Ledger:
    """A line for each acknowledged request, its number; for any thread. It is on disk when `acknowledge` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def acknowledge(self, number: int) -> None:
        """Notes that the receiver has taken a request."""
        with self._lock:
            os.write(self._file, b"%d\n" % number)
            os.fsync(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)


def read(path: Path) -> list[int]:
    """The acknowledged requests, in their order; a line that was cut off counts for nothing: it was never complete."""
    complete, _, _ = path.read_bytes().rpartition(b"\n")
    return [int(line) for line in complete.splitlines()]
