"""A bounded cache that forgets what was not used lately, at the cost of a plain dictionary."""

from collections.abc import Hashable


class RecentCache:
    """Keeps at least the `size` entries that were used last, and at most twice as many.

    Two dictionaries take turns: a full one becomes the older one, and what is used of that moves back. So values that
    occur once, such as ids, push out each other, and not what occurs often.

    The values are encoded fields.

    Attributes:
        recent: the newer entries; a caller that finds its key there needs no call of `get`.
    """

    __slots__ = ("_older", "_size", "recent")

    def __init__(self, size: int) -> None:
        """Creates an empty cache."""
        self._size = size
        self.recent: dict[Hashable, bytes] = {}
        self._older: dict[Hashable, bytes] = {}

    def get(self, key: Hashable) -> bytes | None:
        """The value, or None."""
        value = self.recent.get(key)
        if value is None and (value := self._older.get(key)) is not None:
            self.put(key, value)
        return value

    def put(self, key: Hashable, value: bytes) -> None:
        """Adds an entry."""
        if len(self.recent) >= self._size:
            self.recent, self._older = {}, self.recent
        self.recent[key] = value
