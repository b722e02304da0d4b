"""Makes child processes of multiprocessing send their spans before they end.

Such a child ends by `os._exit`, which runs nothing that is registered with `atexit`, but it runs finalizers of
multiprocessing. `Pool.terminate`, which the end of `with Pool()` calls as well, sends SIGTERM instead.
"""

import _thread
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import util
from types import FrameType

# After all others, because other finalizers may still make spans.
_PRIORITY = -100
# Seconds until SIGTERM is sent again to a main thread that does not call its handler.
_AGAIN_AFTER = 0.2


def call_at_childs_end(owner: object, end: Callable[[], object], seconds: float) -> None:
    """Calls `end` at the end of this process, if it is a child of multiprocessing, and of each later child of it.

    Args:
        owner: later children call `end` only while this object exists.
        end: to be called.
        seconds: how long `end` takes, at most.
    """

    def watch(_owner: object) -> None:
        child = _Child(end, seconds)
        util.Finalize(None, child.finish, exitpriority=_PRIORITY)
        # A handler of the application is left in place.
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, child.terminate)
            _repeat_sigterm(child)

    if multiprocessing.parent_process() is not None:
        watch(owner)
    util.register_after_fork(owner, watch)


class _Child:
    """The end of this process, normal or by SIGTERM."""

    def __init__(self, end: Callable[[], object], seconds: float) -> None:
        self._end = end
        self._seconds = seconds
        self._finishing = False
        self._terminated = False
        self.notices_sigterm = False
        """Whether Python has called the handler of SIGTERM."""

    def finish(self) -> None:
        """Handles the normal end."""
        self._finishing = True
        self._end()
        if self._terminated:
            _die()

    def terminate(self, _signal: int, _frame: FrameType | None) -> None:
        """Handles SIGTERM."""
        self.notices_sigterm = True
        if self._finishing:  # `Pool.terminate` does not wait for children that are ending already
            self._terminated = True
            return
        # In another thread, because this one may have been interrupted while it held a lock that `end` needs. Not with
        # `threading`, which takes locks itself.
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


def _repeat_sigterm(child: _Child) -> None:
    """Sends SIGTERM again until the main thread, which calls this function, calls the handler.

    Python calls a handler only when the main thread executes Python code, and a worker of a pool waits for a semaphore
    in C. If another worker posts it while SIGTERM arrives, the wait continues without an error, and `Pool.terminate`,
    which sends the signal once, would wait for this process for ever.
    """
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    # Python writes each signal's number there at once, from the signal handler in C.
    application = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    if application != -1:  # asyncio, for example, whose loop runs the handlers itself
        signal.set_wakeup_fd(application)
        os.close(read_end)
        os.close(write_end)
        return

    def forget() -> None:
        """In a process that this one forks: its signals are not those of this process."""
        if (current := signal.set_wakeup_fd(-1)) != write_end:
            signal.set_wakeup_fd(current)

    os.register_at_fork(after_in_child=forget)

    main_thread = threading.get_ident()

    def run() -> None:
        while numbers := os.read(read_end, 64):
            while signal.SIGTERM in numbers and not child.notices_sigterm:
                time.sleep(_AGAIN_AFTER)
                if not child.notices_sigterm:
                    signal.pthread_kill(main_thread, signal.SIGTERM)

    _thread.start_new_thread(run, ())


def _die() -> None:
    """Ends the process as if SIGTERM had no handler."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
