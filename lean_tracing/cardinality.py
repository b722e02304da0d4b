"""Limits the number of different span names and label values, which a client could raise otherwise."""

from typing import Final

KNOWN_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
"""The methods of HTTP that OpenTelemetry's conventions list. They are case-sensitive."""
OTHER_METHOD: Final = "_OTHER"
"""Stands for any other method, because a client can invent methods."""


class CardinalityLimit:
    """Lets the first `limit` different texts pass, and replaces any further one by `other`."""

    __slots__ = ("_limit", "_other", "_passed")

    def __init__(self, limit: int, other: str) -> None:
        self._limit = limit
        self._other = other
        self._passed: set[str] = set()

    def __call__(self, text: str) -> str:
        if text not in self._passed:
            if len(self._passed) >= self._limit:
                return self._other
            self._passed.add(text)
        return text
