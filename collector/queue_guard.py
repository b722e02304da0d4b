"""Quarantines a Collector's damaged queue file before the Collector opens it: `queue_guard.py DIRECTORY --port PORT`.

A queue is a bbolt database. With a damaged one the Collector ends, or hangs, at every start; its own option `recreate`
detects few kinds of damage. This program runs in the Collector's pod and checks each file while no Collector has locked
it: before the first start, and between two starts. It reads the pages that the Collector reads when it opens the file,
but not the spans in them. It uses only Python's standard library, because its image is plain Python.
"""

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

SUFFIX = ".damaged"
"""Ending of the name of a quarantined file."""
KEPT = 2
"""Number of quarantined files that are kept, the latest ones."""
FREE = 0.2
"""Quarantined files are deleted if a smaller share of the volume is free."""

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
    """The keys that a page may contain."""

    lowest: bytes = b""
    too_high: bytes | None = None
    buckets: bool = False
    """Every key names a bucket: true at the top level."""


class Damaged(Exception):
    """The Collector cannot use this file, for the reason in the message."""


def check(path: Path) -> None:
    """Check all pages of a database that are in use.

    Raises:
        Damaged: the file is not a database, or one of its pages is damaged.
    """
    try:
        with path.open("rb") as file:
            _Database(file.fileno()).check()
    except (OSError, struct.error) as error:
        raise Damaged(f"it cannot be read: {error}") from error


class _Database:
    def __init__(self, file: int) -> None:
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
        self._used = bytearray(min(self._pages, self._size // self._page_size))

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


class Guard:
    """Checks the queue files of one directory, and counts what it quarantines."""

    def __init__(self, directory: Path, telemetry: str = "") -> None:
        """`telemetry` is the URL of the Collector's metrics: the last known length of a queue counts as lost."""
        self._directory = directory
        self._telemetry = telemetry
        self._good: dict[str, tuple[int, int, int]] = {}
        self._known = self._read_known()
        self.files: dict[str, int] = {}
        """Queue → number of its files that this process quarantined."""
        self.items: dict[str, int] = {}
        """Queue → number of items in these files, by the last known length of the queue."""

    def check_all(self) -> None:
        """Check every file that no Collector has locked and that has changed since the last check."""
        for path in sorted(self._directory.iterdir()):
            if recreated := _RECREATED.fullmatch(path.name):
                self._quarantine(path, recreated[1], "the Collector could not open it")
            elif _QUEUE.fullmatch(path.name):
                self._count(path.name)
                self._check(path)
        self._tidy()

    def learn(self) -> None:
        """Read the lengths of the queues from the Collector's metrics."""
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
        """Return the counters in Prometheus' text format."""
        lines = []
        for name, help_, counts in (
            ("collector_queue_files_set_aside_total", "Damaged queue files that were quarantined.", self.files),
            ("collector_queue_items_lost_total", "Items in them, by the last known length of the queue.", self.items),
        ):
            lines += [f"# HELP {name} {help_}", f"# TYPE {name} counter"]
            lines += [f'{name}{{queue="{queue}"}} {count}' for queue, count in sorted(counts.items())]
        return "\n".join((*lines, ""))

    def _check(self, path: Path) -> None:
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
                version = (state.st_ino, state.st_size, state.st_mtime_ns)
                if self._good.get(path.name) == version:
                    return
                try:
                    check(path)
                except Damaged as reason:
                    self._quarantine(path, path.name, str(reason))
                else:
                    self._good[path.name] = version
        except FileNotFoundError:
            return
        except Damaged as reason:
            self._quarantine(path, path.name, str(reason))

    def _quarantine(self, path: Path, queue: str, reason: str) -> None:
        target = self._directory / f"{queue}.{time.strftime('%Y%m%dT%H%M%S')}.{time.time_ns() % 10**6:06}{SUFFIX}"
        path.rename(target)
        items = self._known.get(queue, 0)
        self._count(queue, 1, items)
        print(f"{queue} is damaged: {reason}; renamed to {target.name}, {items} items were in it", flush=True)

    def _count(self, queue: str, files: int = 0, items: int = 0) -> None:
        self.files[queue] = self.files.get(queue, 0) + files
        self.items[queue] = self.items.get(queue, 0) + items

    def _tidy(self) -> None:
        """Delete the older quarantined files, or all of them if the volume is nearly full."""
        kept = sorted(self._directory.glob(f"*{SUFFIX}"), key=lambda path: path.lstat().st_mtime)
        while kept and (len(kept) > KEPT or self._full()):
            oldest = kept.pop(0)
            with contextlib.suppress(OSError):
                oldest.unlink()

    def _full(self) -> bool:
        volume = os.statvfs(self._directory)
        return volume.f_bavail < FREE * volume.f_blocks

    def _read_known(self) -> dict[str, int]:
        # This file is on the same volume, and may be damaged too.
        with contextlib.suppress(OSError, ValueError):
            lengths = json.loads((self._directory / _KNOWN).read_text())
            if isinstance(lengths, dict):
                return {queue: items for queue, items in lengths.items() if isinstance(items, int) and items >= 0}
        return {}


def _open(path: Path) -> BinaryIO:
    """Open a file to read and write, as the Collector does. Grant the owner this right if it is missing."""
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode):
        raise Damaged("it is not a regular file")
    if mode & _READ_WRITE != _READ_WRITE:
        path.chmod(_READ_WRITE)
    return path.open("r+b")


def serve(guard: Guard, port: int) -> None:
    """Serve the metrics over HTTP, in a thread."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = guard.metrics().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log no scrapes."""

    server = ThreadingHTTPServer(("", port), Handler)
    Thread(target=server.serve_forever, daemon=True).start()


def main() -> None:
    """Check the directory every second until the process is stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument(
        "--port", type=int, required=True, help="port of this program's metrics; it opens after the first check"
    )
    parser.add_argument("--telemetry", required=True, help="URL of the Collector's metrics")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the first process of a container has no default handler
    guard = Guard(asked.directory, asked.telemetry)
    guard.check_all()
    serve(guard, asked.port)
    checks = 0
    while True:
        time.sleep(1)
        checks += 1
        try:
            guard.check_all()
            if checks % 5 == 0:
                guard.learn()
        except Exception as error:  # the guard must continue after any error
            print(f"cannot check {asked.directory}: {error!r}", flush=True)


if __name__ == "__main__":
    main()
