"""Child processes of multiprocessing send their spans before they end.

They end by `os._exit`, which runs nothing that is registered with `atexit`; multiprocessing has finalizers of its own.
`Pool.terminate`, which also the end of `with Pool()` calls, sends them SIGTERM instead.
"""

from __future__ import annotations

import _thread
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import util
from types import FrameType

# Last of all: the finalizers of others may still make spans.
_PRIORITY = -100


def call_at_childs_end(owner: object, end: Callable[[], object], seconds: float) -> None:
    """Calls `end` at the end of this process if it is a child of multiprocessing, and of each child that it will have.

    owner: what `end` belongs to; future children call it only while there is one. `end` takes at most `seconds`.
    """

    def watch(_owner: object) -> None:
        child = _Child(end, seconds)
        util.Finalize(None, child.finish, exitpriority=_PRIORITY)
        # A handler of the application knows better.
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, child.terminate)

    if multiprocessing.parent_process() is not None:
        watch(owner)
    util.register_after_fork(owner, watch)


class _Child:
    """The end of this process, whichever way it comes."""

    def __init__(self, end: Callable[[], object], seconds: float) -> None:
        self._end = end
        self._seconds = seconds
        self._finishing = False
        self._terminated = False

    def finish(self) -> None:
        """The process has done its work."""
        self._finishing = True
        self._end()
        if self._terminated:
            _die()

    def terminate(self, _signal: int, _frame: FrameType | None) -> None:
        """Handles SIGTERM."""
        if self._finishing:  # `Pool.terminate` does not wait for those that end by themselves
            self._terminated = True
            return
        # In a thread of its own: the signal may have come while this one holds a lock that the end needs. Not by
        # `threading`, which takes locks of its own.
        done = _thread.allocate_lock()
        done.acquire()

        def run() -> None:
            try:
                self._end()
            finally:
                done.release()

        _thread.start_new_thread(run, ())
        done.acquire(timeout=self._seconds)
        _die()


def _die() -> None:
    """As if SIGTERM had not been handled."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
