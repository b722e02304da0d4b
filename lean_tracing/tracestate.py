"""Reads W3C's `tracestate`, level 2: values of tracing systems, each under a key of its own."""

import re
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Final

from opentelemetry.trace import TraceState

_KEY: Final = re.compile(r"[a-z0-9][a-z0-9_*/@-]{0,255}")
_VALUE: Final = re.compile(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
_MAX_MEMBERS: Final = 32
# W3C obliges every system to carry at least this much. No more is carried here.
_MAX_LENGTH: Final = 512
# If a header is too long, W3C has members that are longer than this removed first.
_LONG_MEMBER: Final = 128


class CarriedState(TraceState):
    """The members of a header. `TraceState` itself refuses keys of level 2, and quotes what it refuses in warnings."""

    def __init__(self, members: Mapping[str, str]) -> None:
        """Takes members that are valid, at most 32."""
        super().__init__()
        self._members = dict(members)

    def __contains__(self, item: object) -> bool:
        return item in self._members

    def __getitem__(self, key: str) -> str:
        return self._members[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def keys(self) -> KeysView[str]:
        return self._members.keys()

    def items(self) -> ItemsView[str, str]:
        return self._members.items()

    def values(self) -> ValuesView[str]:
        return self._members.values()

    def add(self, key: str, value: str) -> "CarriedState":
        """A state with one more member, the first; the same state if that is not possible."""
        return self if key in self else self.update(key, value)

    def update(self, key: str, value: str) -> "CarriedState":
        """A state in which `key` has this value and is the first; the same state if that is not possible."""
        members = {key: value, **{other: self[other] for other in self if other != key}}
        is_valid = _KEY.fullmatch(key) and _VALUE.fullmatch(value) and len(members) <= _MAX_MEMBERS
        return CarriedState(members) if is_valid else self

    def delete(self, key: str) -> "CarriedState":
        """A state without `key`."""
        return CarriedState({other: self[other] for other in self if other != key})

    def to_header(self) -> str:
        """The header's value."""
        return ",".join(f"{key}={value}" for key, value in self._members.items())


def parse(text: str) -> TraceState | None:
    """The state in a header of printable ASCII; None if a member is malformed, or if there are too many or none.

    Of several members with the same key the first one counts, which is the newest. Of a header that is too long,
    members are removed: those over 128 characters first, and each time the last one.
    """
    members: dict[str, str] = {}
    for part in text.split(","):
        if not (part := part.strip(" ")):
            continue
        key, separator, value = part.partition("=")
        if not separator or not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
            return None
        members.setdefault(key, value)
    if not 0 < len(members) <= _MAX_MEMBERS:
        return None
    _shorten(members)
    return CarriedState(members) if members else None


def _shorten(members: dict[str, str]) -> None:
    """Removes members until their header is not too long."""
    sizes = {key: len(key) + len("=") + len(value) for key, value in members.items()}
    surplus = sum(sizes.values()) + len(sizes) - 1 - _MAX_LENGTH
    if surplus <= 0:
        return
    last_first = list(reversed(sizes))
    last_first.sort(key=lambda key: sizes[key] <= _LONG_MEMBER)
    for key in last_first:
        del members[key]
        surplus -= sizes[key] + len(",")
        if surplus <= 0:
            return
