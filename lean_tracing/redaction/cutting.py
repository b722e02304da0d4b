"""Keeps long values short without showing a part of a secret: what is too long is redacted first and cut afterwards."""

import re
from collections.abc import Mapping, Set
from enum import Enum
from itertools import islice
from typing import Final

from lean_tracing.redaction.forms import LOCAL
from lean_tracing.redaction.limits import MAX_DEPTH, MAX_ITEMS, OVERLAP, REDACTED, Budget

# Matched backwards from the end of a cut text: the possible beginning of an address, or of the credentials of a URL.
_OPEN_ADDRESS: Final = re.compile(rf"(?:{LOCAL}|%)++")
_OPEN_CREDENTIALS: Final = re.compile(r"[^\s/?#@]*+(?=//:)")


def open_end(text: str) -> int:
    """Where a secret may begin that only the text behind the cut would show as one; the length of `text` if none."""
    backwards = text[::-1]
    matches = [pattern.match(backwards) for pattern in (_OPEN_ADDRESS, _OPEN_CREDENTIALS)]
    return len(text) - max(match.end() if match is not None else 0 for match in matches)


def snapshot(value: object, limit: int) -> object:
    """As much of a value as is needed to redact it later and to cut it to `limit` characters then.

    A copy where the value's owner could still change it. Redacted and cut, it shows the same as the whole value.
    Never raises: `[redacted]` replaces a value that cannot be read.
    """
    kind = type(value)
    if kind is str:
        return value[: limit + OVERLAP + 1]  # type: ignore[index]
    if kind is int or kind is bool or kind is float:
        return value
    try:
        return _copy(value, limit + OVERLAP + 1, Budget(MAX_ITEMS + 1, None))
    except Exception:  # methods of the value's class may raise
        return REDACTED


def _copy(value: object, length: int, budget: Budget) -> object:
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return str.__getitem__(value, slice(length))  # a subclass may define its own length
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value[: 4 * length])  # UTF-8 has at most 4 bytes a character
    if not isinstance(value, (Mapping, list, tuple, Set)):
        return value
    if budget.depth > MAX_DEPTH:
        return ()
    budget.depth += 1
    items: list[tuple[object, object]] = []
    pairs = value.items() if isinstance(value, Mapping) else ((None, item) for item in value)
    # A list at once, because another thread may change a map or a set meanwhile.
    for key, item in list(islice(pairs, budget.items)):
        if not budget.items:
            break
        budget.items -= 1
        items.append((key, _copy(item, length, budget)))
    budget.depth -= 1
    return dict(items) if isinstance(value, Mapping) else tuple(item for _, item in items)
