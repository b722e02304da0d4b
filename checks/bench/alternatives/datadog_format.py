"""Reads what Datadog's tracers send to their agent: MessagePack, `/v0.5/traces`.

The body is a list of two: the strings, and the traces. A trace is a list of spans, a span a list of twelve values in
which each string is its index in the first list.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_FIELDS: Final = 12
_SERVICE, _NAME, _STRINGS, _NUMBERS = 0, 1, 9, 10


class MessagePackError(Exception):
    """The body is no MessagePack, or not of this format; the message says what it has instead."""


@dataclass(frozen=True, kw_only=True)
class DatadogSpan:
    """What is compared of a span."""

    service: str
    name: str
    attributes: Mapping[str, str | float]
    """Its tags, which are strings, and its metrics, which are numbers."""


def spans(body: bytes) -> list[DatadogSpan]:
    """Return the spans of a body.

    Raises:
        MessagePackError: it is not of the format.
    """
    document = unpack(body)
    try:
        strings, traces = document
        return [_span(fields, strings) for trace in traces for fields in trace]
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise MessagePackError(f"no list of strings and traces: {error}") from None


def _span(fields: list[Any], strings: list[str]) -> DatadogSpan:
    if len(fields) != _FIELDS:
        raise MessagePackError(f"a span has {len(fields)} fields, not {_FIELDS}")
    tags = {strings[key]: strings[value] for key, value in fields[_STRINGS].items()}
    metrics = {strings[key]: float(value) for key, value in fields[_NUMBERS].items()}
    return DatadogSpan(service=strings[fields[_SERVICE]], name=strings[fields[_NAME]], attributes={**tags, **metrics})


def unpack(body: bytes) -> Any:
    """Return the value that a MessagePack document holds.

    Raises:
        MessagePackError: the document ends too early, has more than one value, or a type that no tracer sends.
    """
    reader = _Reader(body)
    try:
        value = reader.value()
    except (struct.error, IndexError):
        raise MessagePackError(f"it ends within a value, after {len(body)} bytes") from None
    if reader.offset != len(body):
        raise MessagePackError(f"{len(body) - reader.offset} bytes follow the value")
    return value


# The first byte of a value → its number's format, or the format of the length that follows.
_NUMBER_FORMATS: Final = {
    0xCA: ">f", 0xCB: ">d",
    0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_CONSTANTS: Final = {0xC0: None, 0xC2: False, 0xC3: True}
_BYTES: Final = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
_TEXTS: Final = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_LISTS: Final = {0xDC: ">H", 0xDD: ">I"}
_MAPS: Final = {0xDE: ">H", 0xDF: ">I"}


class _Reader:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self.offset = 0

    def value(self) -> Any:
        """Read the value at the offset; `fix` types have their length, or their number, in the first byte."""
        first = self._number(">B")
        if first < 0x80:
            return first
        if first < 0x90:
            return self._map(first & 0x0F)
        if first < 0xA0:
            return self._list(first & 0x0F)
        if first < 0xC0:
            return self._text(first & 0x1F)
        if first >= 0xE0:
            return first - 0x100
        if first in _CONSTANTS:
            return _CONSTANTS[first]
        if first in _NUMBER_FORMATS:
            return self._number(_NUMBER_FORMATS[first])
        for formats, read in (
            (_BYTES, self._bytes), (_TEXTS, self._text), (_LISTS, self._list), (_MAPS, self._map)
        ):  # fmt: skip
            if first in formats:
                return read(int(self._number(formats[first])))
        raise MessagePackError(f"a value begins with {first:#x}, which no tracer sends")

    def _number(self, layout: str) -> Any:
        (number,) = struct.unpack_from(layout, self._body, self.offset)
        self.offset += struct.calcsize(layout)
        return number

    def _bytes(self, length: int) -> bytes:
        taken = self._body[self.offset : self.offset + length]
        if len(taken) < length:
            raise IndexError
        self.offset += length
        return taken

    def _text(self, length: int) -> str:
        return self._bytes(length).decode()

    def _list(self, length: int) -> list[Any]:
        return [self.value() for _ in range(length)]

    def _map(self, length: int) -> dict[Any, Any]:
        return {self.value(): self.value() for _ in range(length)}
