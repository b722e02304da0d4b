"""Attributes that many spans have in common, such as those of all runs of one SQL statement."""

from collections.abc import Mapping
from typing import Final

Scalar = str | int | float | bool

_SCALARS: Final = (str, int, float, bool)


class SharedAttributes(dict[str, Scalar]):
    """Attributes for the start of many spans. They are checked, redacted and encoded once, and never copied.

    They must not be changed. To any other tracer they are attributes like all others.

    Attributes:
        encoded: the encoder that has encoded them last, and its result.
    """

    __slots__ = ("_longest", "encoded")

    def __init__(self, attributes: Mapping[str, Scalar]) -> None:
        """Copies the attributes.

        Raises:
            TypeError: a value may change later, or has an exporting form that its class decides.
        """
        super().__init__(attributes)
        if wrong := [key for key, value in attributes.items() if type(value) not in _SCALARS]:
            raise TypeError(f"not text, a number or a boolean: {', '.join(wrong)}")
        self._longest = max((len(value) for value in self.values() if isinstance(value, str)), default=0)
        self.encoded: tuple[object, bytes] | None = None

    def fit(self, count: int, length: int) -> bool:
        """Whether there are at most `count`, and no text has more than `length` characters."""
        return len(self) <= count and self._longest <= length
