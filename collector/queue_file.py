"""Reads a Collector's queue file, a bbolt database: checks its pages, and tells how much of it is in use."""

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_QUEUE = re.compile(r"exporter_\w+")
_META = struct.Struct("<IIIIQQQQQQ")
_MAGIC, _VERSION = 0xED0CDAED, 2
_PAGE = struct.Struct("<QHHI")
_ELEMENT = struct.Struct("<IIII")
_BRANCH, _LEAF = 1, 2
_BUCKET = 1


class _Keys(NamedTuple):
    """The keys that a page may contain."""

    lowest: bytes = b""
    too_high: bytes | None = None
    buckets: bool = False
    """Every key names a bucket: true at the top level."""


class Damaged(Exception):
    """The Collector cannot use this file, for the reason in the message."""


def queue_files(directory: Path) -> list[Path]:
    """Return the queue files in a directory, by name."""
    return sorted(path for path in directory.iterdir() if _QUEUE.fullmatch(path.name))


def check(path: Path) -> None:
    """Check all pages of a database that are in use.

    Raises:
        Damaged: the file is not a database, or one of its pages is damaged.
    """
    try:
        with path.open("rb") as file:
            Database(file.fileno()).check()
    except (OSError, struct.error) as error:
        raise Damaged(f"it cannot be read: {error}") from error


class Database:
    """A database in a file."""

    def __init__(self, file: int) -> None:
        """Read the head of the file.

        Args:
            file: its descriptor.

        Raises:
            Damaged: the file is not a database.
        """
        self._file = file  # not mapped into memory, where a bad sector would kill this process
        self._size = os.fstat(file).st_size
        if not self._size:
            raise Damaged("it is empty")
        # The second meta page begins at the page size, which is written only in a meta page: try each possible size.
        offsets = (0, *(1024 << power for power in range(15)))
        metas = [meta for offset in offsets if (meta := self._meta(offset))]
        if not metas:
            raise Damaged("neither of its first pages is valid")
        _, _, self._page_size, _, self._root, _, _, self._pages, _, _ = max(metas, key=lambda meta: meta[8])
        self._used = bytearray()

    @property
    def end(self) -> int:
        """Where a transaction adds pages if it finds no free one, in bytes from the begin of the file."""
        return self._pages * self._page_size

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._file, size, offset)

    def _meta(self, offset: int) -> tuple[int, ...] | None:
        content = self._read(offset + _PAGE.size, _META.size)
        if len(content) < _META.size:
            return None
        meta = _META.unpack(content)
        valid = meta[0] == _MAGIC and meta[1] == _VERSION and meta[-1] == _fnv(content[:-8])
        return meta if valid else None

    def check(self) -> None:
        """Check all pages that are in use.

        Raises:
            Damaged: one of them is damaged.
        """
        self._used = bytearray(min(self._pages, self._size // self._page_size))
        todo: list[tuple[int, _Keys]] = [(self._root, _Keys(buckets=True))]
        while todo:
            number, keys = todo.pop()
            todo.extend(self._page(number, keys))

    def _page(self, number: int, keys: _Keys) -> Iterator[tuple[int, _Keys]]:
        """Check a page, and yield the pages below it."""
        begin = number * self._page_size
        if not 2 <= number < len(self._used):
            raise Damaged(f"page {number} is not in the file")
        name, kind, count, overflow = _PAGE.unpack(self._read(begin, _PAGE.size))
        if name != number or kind not in (_BRANCH, _LEAF):
            raise Damaged(f"page {number} has the header of another page")
        end = number + 1 + overflow
        if end > len(self._used):
            raise Damaged(f"page {number} is longer than the file")
        if self._used.find(1, number, end) >= 0:
            raise Damaged(f"page {number} is used twice")
        self._used[number:end] = b"\1" * (end - number)
        return self._elements(kind, count, begin + _PAGE.size, end * self._page_size, keys)

    def _elements(self, kind: int, count: int, first: int, end: int, keys: _Keys) -> Iterator[tuple[int, _Keys]]:
        """Check the elements between two offsets of the file, and yield the pages below them."""
        behind = first + count * _ELEMENT.size
        if behind > end or (kind == _BRANCH and not count):
            raise Damaged(f"a page has {count} elements at {first}")
        children: list[tuple[bytes, int]] = []
        below, above = keys.lowest, keys.too_high
        for index, element in enumerate(_ELEMENT.iter_unpack(self._read(first, behind - first))):
            if kind == _BRANCH:
                offset, key_size, *halves = element
                child = halves[0] + (halves[1] << 32)
                flags = size = 0
            else:
                flags, offset, key_size, size = element
            begin = first + index * _ELEMENT.size + offset
            if begin < behind or begin + key_size + size > end:
                raise Damaged(f"element {index} at {first} is not in its page")
            key = self._read(begin, key_size)
            if key < below or (index and key == below) or (above is not None and key >= above):
                raise Damaged(f"the key of element {index} at {first} is not in order")
            below = key
            if kind == _BRANCH:
                children.append((key, child))
            elif flags & _BUCKET:
                yield from self._bucket(begin + key_size, size)
            elif keys.buckets:
                raise Damaged(f"element {index} at {first} is not a bucket")
        upper_limits = [*(key for key, _ in children[1:]), above]
        for (key, child), too_high in zip(children, upper_limits, strict=False):
            yield child, _Keys(key, too_high, keys.buckets)

    def _bucket(self, offset: int, size: int) -> Iterator[tuple[int, _Keys]]:
        """Check a bucket. A small one has its page inside its value."""
        root, _, _, kind, count, _ = struct.unpack("<QQQHHI", self._read(offset, min(size, 32)).ljust(32, b"\0"))
        if root:
            yield root, _Keys()
        elif kind != _LEAF:
            raise Damaged(f"the bucket at {offset} has no page")
        else:
            yield from self._elements(kind, count, offset + 32, offset + size, _Keys())


def _fnv(data: bytes) -> int:
    """FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value
