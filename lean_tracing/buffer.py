"""Requests that could not be sent yet: encoded batches, compressed, up to a fixed number of bytes."""

import zlib
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Batch:
    """An encoded export request, and the number of spans or log records in it."""

    payload: bytes
    items: int


class Buffer:
    """First in, first out; for use in one thread. A full buffer drops its oldest batch: new data is worth more."""

    def __init__(self, capacity: int) -> None:
        """Creates an empty buffer of so many bytes, compressed."""
        self.capacity = capacity
        self.bytes = 0
        self.items = 0
        self.attempts = 0
        """How often sending the oldest batch has failed; the caller counts."""
        self._batches: deque[Batch] = deque()

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, batch: Batch) -> int:
        """Keeps a batch. Returns how many items were dropped for it; its own, if it does not fit at all."""
        # The fastest level leaves a third of the size. The better ones leave hardly less, at several times the cost.
        packed = Batch(zlib.compress(batch.payload, 1), batch.items)
        dropped = 0
        while self._batches and self.bytes + len(packed.payload) > self.capacity:
            dropped += self.drop_first()
        if len(packed.payload) > self.capacity:
            return dropped + batch.items
        self._batches.append(packed)
        self.bytes += len(packed.payload)
        self.items += batch.items
        return dropped

    def first(self) -> Batch:
        """The oldest batch, as it was added. It stays in the buffer."""
        packed = self._batches[0]
        return Batch(zlib.decompress(packed.payload), packed.items)

    def drop_first(self) -> int:
        """Removes the oldest batch; returns its number of items."""
        packed = self._batches.popleft()
        self.attempts = 0
        self.bytes -= len(packed.payload)
        self.items -= packed.items
        return packed.items

    def clear(self) -> int:
        """Removes everything; returns the number of items."""
        items, self.items, self.bytes, self.attempts = self.items, 0, 0, 0
        self._batches.clear()
        return items
