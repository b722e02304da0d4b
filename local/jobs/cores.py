"""Slots for builds that keep every core busy."""

import threading
from collections.abc import Callable


class Cores:
    """Slots for builds, handed out in the order of the list of jobs.

    Two builds at a time finish no sooner than one after the other, and the build that other jobs wait for ends later.
    """

    def __init__(self, slots: int = 1) -> None:
        self._free = slots
        self._waiting: list[int] = []
        self._changed = threading.Condition()

    def acquire(self, rank: int, check_cancelled: Callable[[], None]) -> None:
        """Waits until a slot is free and no job of a lower rank waits for it.

        Args:
            rank: place of the job in the list.
            check_cancelled: is called several times a second; what it raises ends the wait.
        """
        with self._changed:
            self._waiting.append(rank)
            try:
                while not self._free or rank != min(self._waiting):
                    self._changed.wait(0.2)
                    check_cancelled()
                self._free -= 1
            finally:
                self._waiting.remove(rank)
                self._changed.notify_all()

    def release(self) -> None:
        """Frees the slot for the next job."""
        with self._changed:
            self._free += 1
            self._changed.notify_all()
