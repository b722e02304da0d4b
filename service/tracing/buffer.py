"""What could not be sent yet: encoded batches, compressed, no more than a fixed number of bytes."""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Batch:
    """An encoded export request and how many spans (or log records) are in it."""

    payload: bytes
    items: int


class Buffer:
    """First in, first out; for one thread. Full, it lets the oldest go: what happens now is of more use."""

    def __init__(self, capacity: int) -> None:
        """capacity: bytes, compressed."""
        self.capacity = capacity
        self.bytes = 0
        self.items = 0
        self.attempts = 0
        """Times that sending the oldest batch failed, as the caller counts them."""
        self._batches: deque[Batch] = deque()

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, batch: Batch) -> int:
        """Keeps a batch; returns the number of items that had to go for it (its own where it does not fit at all)."""
        # The fastest level: it makes a third of it, and the better ones hardly less at several times the cost.
        packed = Batch(zlib.compress(batch.payload, 1), batch.items)
        lost = 0
        while self._batches and self.bytes + len(packed.payload) > self.capacity:
            lost += self.drop_first()
        if len(packed.payload) > self.capacity:
            return lost + batch.items
        self._batches.append(packed)
        self.bytes += len(packed.payload)
        self.items += batch.items
        return lost

    def first(self) -> Batch:
        """The oldest batch, as it was added; it stays."""
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
