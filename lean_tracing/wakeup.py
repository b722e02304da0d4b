"""Wakes a waiting thread from anywhere, even from within itself."""

import contextlib
from queue import Empty, SimpleQueue


class Wakeup:
    """A signal for one thread that waits; `set` is for any thread, and never waits for a lock.

    A handler of a signal, or the collector of garbage, may end a span between any two steps of any thread. A
    `threading.Event` has a lock, for which such a span would wait for ever if it interrupted the lock's own thread.
    The `put` of a `SimpleQueue` is made for this.
    """

    def __init__(self) -> None:
        """Creates one that is not set."""
        self._signals: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Ends the current wait, or the next one if the thread does not wait now."""
        if self._signals.empty():
            self._signals.put(None)

    def wait(self, seconds: float) -> bool:
        """Waits until it is set, at most this long, and returns whether it was; it is not set afterwards."""
        try:
            self._signals.get(timeout=seconds)
        except Empty:
            return False
        self.forget()
        return True

    def forget(self) -> None:
        """Unsets it."""
        with contextlib.suppress(Empty):
            for _ in range(self._signals.qsize()):
                self._signals.get_nowait()
