"""A client that sends to a store while a test changes the store."""

import threading
from collections.abc import Callable
from typing import Self


class Writer:
    """Sends one item after the other, each again until it is accepted, as Collectors do."""

    def __init__(self, send: Callable[[int], str | None], pause_seconds: float) -> None:
        """Prepares it.

        Args:
            send: sends the item of a number; returns what the item is found by, or None if it was not accepted.
            pause_seconds: time between two attempts.
        """
        self.accepted: list[str] = []
        self.refused = 0
        self._send = send
        self._pause = pause_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Sends nothing more."""
        self._ended.set()
        self._thread.join(timeout=60)

    def _run(self) -> None:
        while not self._ended.is_set():
            item = self._send(len(self.accepted))
            if item is None:
                self.refused += 1
            else:
                self.accepted.append(item)
            self._ended.wait(self._pause)
