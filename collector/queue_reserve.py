"""Keeps room for the Collector's next transactions in its queue files, and pauses it before that room is used up.

If a transaction fails because the volume is full, the Collector deletes the item that it was about to send. So it must
not find the volume full. Another program can fill the volume, but cannot take blocks that a queue file already has.
"""

import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from collector.queue_file import Damaged, Database, queue_files

LARGEST: Final = 32 << 20
"""Size of the reserve on a volume of 1 GiB or more, in bytes. One request has at most half of it."""
SHARE: Final = 32
"""The reserve on a smaller volume is this part of it: its size divided by this number."""
KEEP_SECONDS: Final = 0.1
"""Time between two calls of `keep`."""

_KEEP_SIZE: Final = 1
_BLOCK: Final = 512


class Reserve:
    """The reserves of the queue files of one directory."""

    def __init__(self, directory: Path, is_starting: Callable[[], bool] = lambda: False) -> None:
        """`is_starting` returns whether the Collector has not finished its start. A start is not paused.

        At its start, the Collector deletes the items that it was sending, and adds them again. If it were paused and
        then killed between the two, they would be lost.
        """
        self._directory = directory
        self._is_starting = is_starting
        self._can_allocate = True
        self._is_known = False
        self.is_paused = False
        """Whether the Collector is stopped, because a queue file has no reserve."""
        self.is_full = False
        """Whether the volume has less free space than one reserve."""

    def keep(self) -> None:
        """Fill the reserve of each open queue. Pause the Collector if that fails, and continue it once it succeeds."""
        volume = os.statvfs(self._directory)
        size = min(LARGEST, volume.f_blocks * volume.f_frsize // SHARE)
        free = volume.f_bavail * volume.f_frsize
        self.is_full = free < size
        with _open_queues(self._directory) as queues:
            if queues:
                self._pause(queues, not all(self._has_room(queue, size, free) for queue in queues))

    def _pause(self, queues: list[int], is_paused: bool) -> None:
        """Pause the Collector, or continue it."""
        if is_paused != self.is_paused or is_paused or not self._is_known:
            if not (processes := _users(queues)):
                return  # it has just ended
            # A stopped process does not answer whether it is starting. An earlier guard may have stopped it.
            running = [process for process in processes if not _is_stopped(process)]
            if is_paused and running and self._is_starting():
                return
            for process in running if is_paused else processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGSTOP if is_paused else signal.SIGCONT)
        if is_paused != self.is_paused:
            state = "is full: the Collector is paused" if is_paused else "has room again: the Collector continues"
            print(f"{self._directory} {state}", flush=True)
        self.is_paused = is_paused
        self._is_known = True

    def metrics(self) -> str:
        """Return the state in Prometheus' text format."""
        lines = []
        for name, help_, value in (
            ("collector_queue_volume_full", "Whether the volume of the queues is full.", self.is_full),
            ("collector_queue_paused", "Whether the Collector is paused, because a queue has no room.", self.is_paused),
        ):
            lines += [f"# HELP {name} {help_}", f"# TYPE {name} gauge", f"{name} {int(value)}"]
        return "\n".join((*lines, ""))

    def _has_room(self, queue: int, size: int, free: int) -> bool:
        """Return whether a queue file has a reserve of `size` bytes, after trying to give it two or one."""
        try:
            end = Database(queue).end
        except Damaged:
            return True  # the Collector is about to create it
        if _room(queue, end) >= size:
            return True
        for reserve in (2 * size, size):
            if free and self._can_allocate and self._allocate(queue, end + reserve):
                return True
        return _room(queue, end) + (0 if self._can_allocate else free) >= size

    def _allocate(self, queue: int, end: int) -> bool:
        """Give a file all blocks up to `end`, and leave its size. A part may be given if the answer is False."""
        if _fallocate()(queue, _KEEP_SIZE, 0, end) == 0:
            return True
        code = ctypes.get_errno()
        if code in (errno.EOPNOTSUPP, errno.ENOSYS):
            self._can_allocate = False
            print(
                f"the file system of {self._directory} cannot reserve room ({os.strerror(code)}): the Collector is"
                " paused when the free space is low, and can lose spans if another program uses it up at once",
                flush=True,
            )
        elif code not in (errno.ENOSPC, errno.EDQUOT, errno.EINTR):
            raise OSError(code, os.strerror(code))
        return False


@functools.cache
def _fallocate() -> Any:
    """The C library's function. macOS, where the stack's manifests are written too, has none of this name."""
    function = ctypes.CDLL(None, use_errno=True).fallocate
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return function


@contextlib.contextmanager
def _open_queues(directory: Path) -> Iterator[list[int]]:
    """Open the queue files that a Collector has locked. The other ones are of exporters that it no longer has."""
    with contextlib.ExitStack() as opened:
        queues = []
        for path in queue_files(directory):
            with contextlib.suppress(OSError):
                queue = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
                opened.callback(os.close, queue)
                if stat.S_ISREG(os.fstat(queue).st_mode) and _is_locked(queue):
                    queues.append(queue)
        yield queues


def _is_locked(queue: int) -> bool:
    try:
        fcntl.flock(queue, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(queue, fcntl.LOCK_UN)
    return False


def _room(queue: int, end: int) -> int:
    """Return how many bytes a file has beyond `end`. It was written up to there, so it has all blocks before."""
    return os.fstat(queue).st_blocks * _BLOCK - end


def _users(queues: list[int]) -> list[int]:
    """Return the processes, except this one, that have one of the files open."""
    identities = {_identity(os.fstat(queue)) for queue in queues}
    processes = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [process for process in processes if process != os.getpid() and _has_open(process, identities)]


def _is_stopped(process: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return False


def _has_open(process: int, identities: set[tuple[int, int]]) -> bool:
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):
                if _identity(descriptor.stat()) in identities:
                    return True
    return False


def _identity(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino
