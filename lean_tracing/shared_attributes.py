"""Attributes that many spans have in common, such as those of all runs of one SQL statement."""

import sys
from collections.abc import Mapping
from typing import Final

from opentelemetry.util.types import AttributeValue

_SCALARS: Final = frozenset({str, int, float, bool})


class SharedAttributes(dict[str, AttributeValue]):
    """Attributes for the start of many spans. They are redacted and encoded once, and no span copies them.

    They must not be changed. To any other tracer they are attributes like all others; so they are to this library if a
    value is neither text nor a number or boolean.

    Attributes:
        encoded: the encoder that has encoded them last, and its result.
    """

    __slots__ = ("_longest", "encoded")

    def __init__(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Copies the attributes."""
        super().__init__(attributes)
        self.encoded: tuple[object, bytes] | None = None
        self._longest = max((len(value) for value in self.values() if isinstance(value, str)), default=0)
        if not _SCALARS.issuperset(map(type, self.values())):
            self._longest = sys.maxsize

    def fit(self, count: int, length: int) -> bool:
        """Whether a span may share them that has at most `count` attributes, with texts of at most `length`."""
        return len(self) <= count and self._longest <= length
