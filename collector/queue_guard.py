"""Sets a Collector's damaged queue file aside before the Collector opens it: `queue_guard.py DIRECTORY --port PORT`.

A queue is a bbolt database. The Collector ends, or waits for ever, at every start with a damaged one; its own option
`recreate` notices few kinds of damage. This program runs in the Collector's pod and checks each file while no Collector
has it locked: before the first start, and between two starts. It reads the pages that the Collector reads when it opens
the file, not the spans in them. It needs Python's standard library alone, since its image is plain Python.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import re
import signal
import stat
import struct
import sys
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import BinaryIO, NamedTuple

SET_ASIDE = ".damaged"
KEPT = 2
"""Files set aside that are kept, the latest ones."""
FREE = 0.2
"""Share of the volume that must be free for any to be kept."""

_READ_WRITE = stat.S_IRUSR | stat.S_IWUSR
_QUEUE = re.compile(r"exporter_\w+")
_RECREATED = re.compile(r"(exporter_\w+)\..*\.backup")
_KNOWN = "known-items.json"
_META = struct.Struct("<IIIIQQQQQQ")
_MAGIC, _VERSION = 0xED0CDAED, 2
_PAGE = struct.Struct("<QHHI")
_ELEMENT = struct.Struct("<IIII")
_BRANCH, _LEAF = 1, 2
_BUCKET = 1


class _Keys(NamedTuple):
    """What may be in a page."""

    lowest: bytes = b""
    too_high: bytes | None = None
    buckets: bool = False
    """Each of them is that of a bucket, as it is at the top."""


class Damaged(Exception):
    """The Collector cannot use this file; says why."""


def check(path: Path) -> None:
    """Walks through the live pages of a database.

    Raises:
        Damaged: it is none, or a page of it is not as it was written.
    """
    try:
        with path.open("rb") as file:
            _Database(file.fileno()).check()
    except (OSError, struct.error) as error:
        raise Damaged(f"it cannot be read: {error}") from error


class _Database:
    def __init__(self, file: int) -> None:
        self._file = file  # read, not mapped: a bad sector is an error then, and not the end of this process
        self._size = os.fstat(file).st_size
        if not self._size:
            raise Damaged("it is empty")
        # The second meta page begins at the page size, which only a meta page says.
        metas = [found for at in (0, *(1024 << power for power in range(15))) if (found := self._meta(at))]
        if not metas:
            raise Damaged("neither of its first pages is valid")
        _, _, self._page_size, _, self._root, _, _, self._pages, _, _ = max(metas, key=lambda meta: meta[8])
        self._used = bytearray(min(self._pages, self._size // self._page_size))

    def _read(self, at: int, size: int) -> bytes:
        return os.pread(self._file, size, at)

    def _meta(self, at: int) -> tuple[int, ...] | None:
        content = self._read(at + _PAGE.size, _META.size)
        if len(content) < _META.size:
            return None
        meta = _META.unpack(content)
        valid = meta[0] == _MAGIC and meta[1] == _VERSION and meta[-1] == _fnv(content[:-8])
        return meta if valid else None

    def check(self) -> None:
        todo: list[tuple[int, _Keys]] = [(self._root, _Keys(buckets=True))]
        while todo:
            number, keys = todo.pop()
            todo.extend(self._page(number, keys))

    def _page(self, number: int, keys: _Keys) -> Iterator[tuple[int, _Keys]]:
        """The pages below a page."""
        begin = number * self._page_size
        if not 2 <= number < len(self._used):
            raise Damaged(f"page {number} is not in the file")
        name, kind, count, overflow = _PAGE.unpack(self._read(begin, _PAGE.size))
        if name != number or kind not in (_BRANCH, _LEAF):
            raise Damaged(f"page {number} is another one")
        end = number + 1 + overflow
        if end > len(self._used):
            raise Damaged(f"page {number} is longer than the file")
        if self._used.find(1, number, end) >= 0:
            raise Damaged(f"page {number} is used twice")
        self._used[number:end] = b"\1" * (end - number)
        return self._elements(kind, count, begin + _PAGE.size, end * self._page_size, keys)

    def _elements(self, kind: int, count: int, first: int, end: int, keys: _Keys) -> Iterator[tuple[int, _Keys]]:
        """The pages below the elements between two places in the file."""
        behind = first + count * _ELEMENT.size
        if behind > end or (kind == _BRANCH and not count):
            raise Damaged(f"a page has {count} elements at {first}")
        children: list[tuple[bytes, int]] = []
        below, above = keys.lowest, keys.too_high
        for at, element in enumerate(_ELEMENT.iter_unpack(self._read(first, behind - first))):
            if kind == _BRANCH:
                offset, key_size, *halves = element
                child = halves[0] + (halves[1] << 32)
                flags = size = 0
            else:
                flags, offset, key_size, size = element
            begin = first + at * _ELEMENT.size + offset
            if begin < behind or begin + key_size + size > end:
                raise Damaged(f"element {at} at {first} is not in its page")
            key = self._read(begin, key_size)
            if key < below or (at and key == below) or (above is not None and key >= above):
                raise Damaged(f"the key of element {at} at {first} is not in order")
            below = key
            if kind == _BRANCH:
                children.append((key, child))
            elif flags & _BUCKET:
                yield from self._bucket(begin + key_size, size)
            elif keys.buckets:
                raise Damaged(f"element {at} at {first} is no bucket")
        for index, (key, child) in enumerate(children):
            yield child, _Keys(key, children[index + 1][0] if index + 1 < len(children) else above, keys.buckets)

    def _bucket(self, at: int, size: int) -> Iterator[tuple[int, _Keys]]:
        """A small bucket has its page in its value."""
        root, _, _, kind, count, _ = struct.unpack("<QQQHHI", self._read(at, min(size, 32)).ljust(32, b"\0"))
        if root:
            yield root, _Keys()
        elif kind != _LEAF:
            raise Damaged(f"the bucket at {at} is none")
        else:
            yield from self._elements(kind, count, at + 32, at + size, _Keys())


def _fnv(data: bytes) -> int:
    """FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


class Guard:
    """Looks after the queues of one directory."""

    def __init__(self, directory: Path, telemetry: str = "") -> None:
        """`telemetry` is the URL of the Collector's own metrics: the last known length of a queue is what it lost."""
        self._directory = directory
        self._telemetry = telemetry
        self._good: dict[str, tuple[int, int, int]] = {}
        self._known = self._read_known()
        self.files: dict[str, int] = {}
        """Queue → files of it that were set aside since this began."""
        self.items: dict[str, int] = {}
        """Queue → items that were in them, as far as that was known."""

    def look(self) -> None:
        """Checks every file that nobody has locked and that has changed since."""
        for path in sorted(self._directory.iterdir()):
            if recreated := _RECREATED.fullmatch(path.name):
                self._set_aside(path, recreated[1], "the Collector could not open it")
            elif _QUEUE.fullmatch(path.name):
                self._count(path.name)
                self._look_at(path)
        self._tidy()

    def learn(self) -> None:
        """Asks the Collector how much is in its queues."""
        with contextlib.suppress(OSError, ValueError):
            with urllib.request.urlopen(self._telemetry, timeout=2) as answer:
                text = answer.read().decode()
            known = {}
            for labels, value in re.findall(r"^otelcol_exporter_queue_size{([^}]*)} (\S+)$", text, re.MULTILINE):
                label = dict(re.findall(r'(\w+)="([^"]*)"', labels))
                known[f"exporter_{label['exporter'].replace('/', '_')}_{label['data_type']}"] = int(float(value))
            if known != self._known:
                self._known = known
                unfinished = self._directory / f".{_KNOWN}"
                unfinished.write_text(json.dumps(known))
                unfinished.rename(self._directory / _KNOWN)

    def metrics(self) -> str:
        """In Prometheus' text format."""
        lines = []
        for name, help_, counts in (
            ("collector_queue_files_set_aside_total", "Damaged queue files that were set aside.", self.files),
            ("collector_queue_items_lost_total", "Items in them, as far as known.", self.items),
        ):
            lines += [f"# HELP {name} {help_}", f"# TYPE {name} counter"]
            lines += [f'{name}{{queue="{queue}"}} {count}' for queue, count in sorted(counts.items())]
        return "\n".join((*lines, ""))

    def _look_at(self, path: Path) -> None:
        try:
            with contextlib.ExitStack() as opened:
                try:
                    file = opened.enter_context(_open(path))
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
                except OSError as error:
                    raise Damaged(f"it cannot be opened: {error.strerror}") from error
                state = os.fstat(file.fileno())
                seen = (state.st_ino, state.st_size, state.st_mtime_ns)
                if self._good.get(path.name) == seen:
                    return
                try:
                    check(path)
                except Damaged as reason:
                    self._set_aside(path, path.name, str(reason))
                else:
                    self._good[path.name] = seen
        except FileNotFoundError:
            return
        except Damaged as reason:
            self._set_aside(path, path.name, str(reason))

    def _set_aside(self, path: Path, queue: str, reason: str) -> None:
        target = self._directory / f"{queue}.{time.strftime('%Y%m%dT%H%M%S')}.{time.time_ns() % 10**6:06}{SET_ASIDE}"
        path.rename(target)
        items = self._known.get(queue, 0)
        self._count(queue, 1, items)
        print(f"{queue} is damaged: {reason}; set aside as {target.name}, {items} items were in it", flush=True)

    def _count(self, queue: str, files: int = 0, items: int = 0) -> None:
        self.files[queue] = self.files.get(queue, 0) + files
        self.items[queue] = self.items.get(queue, 0) + items

    def _tidy(self) -> None:
        """Removes what was set aside long ago, and all of it rather than let the volume fill."""
        kept = sorted(self._directory.glob(f"*{SET_ASIDE}"), key=lambda path: path.lstat().st_mtime)
        while kept and (len(kept) > KEPT or self._full()):
            oldest = kept.pop(0)
            with contextlib.suppress(OSError):
                oldest.unlink()

    def _full(self) -> bool:
        volume = os.statvfs(self._directory)
        return volume.f_bavail < FREE * volume.f_blocks

    def _read_known(self) -> dict[str, int]:
        # Its file is on the same volume, and may be damaged as well.
        with contextlib.suppress(OSError, ValueError):
            found = json.loads((self._directory / _KNOWN).read_text())
            if isinstance(found, dict):
                return {queue: items for queue, items in found.items() if isinstance(items, int) and items >= 0}
        return {}


def _open(path: Path) -> BinaryIO:
    """As the Collector opens it: to read and to write. A file of its own that it may not write to gets that right."""
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode):
        raise Damaged("it is no file")
    if mode & _READ_WRITE != _READ_WRITE:
        path.chmod(_READ_WRITE)
    return path.open("r+b")


def serve(guard: Guard, port: int) -> None:
    """Answers with the metrics, in a thread of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = guard.metrics().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing of a scrape."""

    server = ThreadingHTTPServer(("", port), Handler)
    Thread(target=server.serve_forever, daemon=True).start()


def main() -> None:
    """Until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, required=True, help="of its own metrics; open after the first look")
    parser.add_argument("--telemetry", required=True, help="URL of the Collector's metrics")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # a container's first process has no default
    guard = Guard(asked.directory, asked.telemetry)
    guard.look()
    serve(guard, asked.port)
    looks = 0
    while True:
        time.sleep(1)
        looks += 1
        try:
            guard.look()
            if looks % 5 == 0:
                guard.learn()
        except Exception as error:  # it must outlive whatever it finds
            print(f"cannot look at {asked.directory}: {error!r}", flush=True)


if __name__ == "__main__":
    main()
