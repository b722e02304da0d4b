"""Files that are either whole or absent, and locks that end with their process."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from local.jobs import Progress


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same directory; it replaces `path` if the block does not raise.

    The temporary name ends with the process id, so that files of a process that was killed can be recognised.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Replaces the content of a file. A process that reads it meanwhile sees the old content or the new one."""
    with replace_file(path) as unfinished:
        unfinished.touch(mode=mode)
        unfinished.write_text(text)


@contextlib.contextmanager
def exclusive_lock(path: Path, progress: Progress, *, holder: str, timeout: float) -> Iterator[None]:
    """Holds a lock that no other thread or process has at the same time.

    The kernel releases the lock when the process ends, however it ends.

    Args:
        path: the lock's file, which stays.
        progress: shows that the job waits.
        holder: what may hold the lock, as in "waiting for HOLDER to end".
        timeout: seconds until the wait fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:

        def acquire() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not acquire():
            progress.wait(f"{holder} to end", acquire, timeout=timeout)
        yield
