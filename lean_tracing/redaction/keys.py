"""Decides by a value's name, such as `password` or `user_email`, whether the value is shown, hidden or hashed."""

import re
from enum import Enum
from typing import Final

from lean_tracing.redaction import names

_MAX_CACHED: Final = 2_048
_MAX_CACHED_LENGTH: Final = 128

_HARMLESS, _LINE, _TYPED, _FLAG, _SECRET, _EMAIL = (
    re.compile("|".join(patterns))
    for patterns in (names.HARMLESS, names.LINE, names.TYPED, names.FLAG, names.SECRET, names.EMAIL)
)
_PARAMETER: Final = re.compile(names.PARAMETER)


class Kind(Enum):
    """The treatment of the values under a name."""

    PLAIN = "shown; text is searched for secrets"
    SECRET = "text is hidden; numbers and booleans are shown"
    TYPED = "hidden, numbers included"
    LINE = "hidden; inside text up to the end of the line, because these values hold spaces"
    EMAIL = "hashed"


def classify(name: str) -> Kind:
    """The kind of a name, in any spelling."""
    if _HARMLESS.search(name):
        return Kind.PLAIN
    if _LINE.search(name):
        return Kind.LINE
    if _SECRET.search(name):
        return Kind.TYPED if _TYPED.search(name) and not _FLAG.search(name) else Kind.SECRET
    return Kind.EMAIL if _EMAIL.search(name) else Kind.PLAIN


def is_secret_parameter(name: str) -> bool:
    """Whether a parameter of a URL with this name is a secret, although such a name elsewhere hides nothing."""
    return _PARAMETER.search(name) is not None


class KeyRules:
    """`classify` with a cache."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {}

    def kind(self, name: str) -> Kind:
        """The kind of a name."""
        kind = self._kinds.get(name)
        if kind is None:
            kind = classify(name)
            if len(name) <= _MAX_CACHED_LENGTH:
                if len(self._kinds) >= _MAX_CACHED:
                    self._kinds.clear()
                self._kinds[name] = kind
        return kind
