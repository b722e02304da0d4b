"""Guards the queue files of a Collector's volume: `python -m collector.queue_guard DIRECTORY --port PORT`.

A queue is a bbolt database. With a damaged one the Collector ends, or hangs, at every start; its own option `recreate`
detects few kinds of damage. This program runs in the Collector's pod and checks each file while no Collector has locked
it: before the first start, and between two starts. It reads the pages that the Collector reads when it opens the file,
but not the spans in them. While the Collector runs, `queue_reserve` keeps room in the files. Both use only Python's
standard library, because the image is plain Python.
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import signal
import stat
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import BinaryIO

from collector.queue_file import Damaged, check, queue_files
from collector.queue_reserve import KEEP_SECONDS, Reserve

SUFFIX = ".damaged"
"""Ending of the name of a quarantined file."""
KEPT = 2
"""Number of quarantined files that are kept, the latest ones."""
FREE = 0.2
"""Quarantined files are deleted if a smaller share of the volume is free."""

LIVENESS = "/collector"
"""Path at which this program answers whether the Collector lives."""

_CHECK_SECONDS = 1
_LEARN_SECONDS = 5
_HEALTH_SECONDS = 2
_READ_WRITE = stat.S_IRUSR | stat.S_IWUSR
_RECREATED = re.compile(r"(exporter_\w+)\..*\.backup")
_KNOWN = "known-items.json"


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
        for path in queue_files(self._directory):
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


class Health:
    """What the Collector answers about its health."""

    def __init__(self, url: str) -> None:
        self._url = url

    def is_good(self) -> bool:
        """Return whether the Collector answers that it is healthy."""
        with contextlib.suppress(OSError), urllib.request.urlopen(self._url, timeout=_HEALTH_SECONDS):
            return True
        return False

    def is_starting(self) -> bool:
        """Return whether the Collector refuses the request, or answers that it is not ready yet."""
        try:
            with urllib.request.urlopen(self._url, timeout=_HEALTH_SECONDS):
                return False
        except urllib.error.HTTPError:
            return True
        except OSError as error:
            return isinstance(getattr(error, "reason", error), ConnectionRefusedError)


def serve(guard: Guard, reserve: Reserve, health: Health, address: str, port: int) -> None:
    """Serve the metrics and the Collector's liveness over HTTP, in a thread. A paused Collector is live."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_probe = self.path == LIVENESS
            body = b"" if is_probe else (guard.metrics() + reserve.metrics()).encode()
            is_good = not is_probe or reserve.is_paused or health.is_good() or reserve.is_paused
            self.send_response(200 if is_good else 503)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log no scrapes."""

    server = ThreadingHTTPServer((address, port), Handler)
    Thread(target=server.serve_forever, daemon=True).start()


def _repeat(action: Callable[[], None], seconds: float) -> None:
    """Call `action` forever, with `seconds` between two calls, and continue after any error."""
    last = ""
    while True:
        try:
            action()
            last = ""
        except Exception as error:
            if repr(error) != last:
                print(f"{action.__qualname__} failed: {error!r}", flush=True)
            last = repr(error)
        time.sleep(seconds)


def main() -> None:
    """Guard the directory until the process is stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument(
        "--port", type=int, required=True, help="port of this program's metrics; it opens after the first check"
    )
    parser.add_argument("--address", default="", help="on which it listens; any if empty")
    parser.add_argument("--telemetry", required=True, help="URL of the Collector's metrics")
    parser.add_argument("--health", required=True, help="URL of the Collector's health")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the first process of a container has no default handler
    health = Health(asked.health)
    guard, reserve = Guard(asked.directory, asked.telemetry), Reserve(asked.directory, health.is_starting)
    guard.check_all()
    reserve.keep()
    Thread(target=_repeat, args=(reserve.keep, KEEP_SECONDS), daemon=True).start()
    serve(guard, reserve, health, asked.address, asked.port)
    Thread(target=_repeat, args=(guard.learn, _LEARN_SECONDS), daemon=True).start()
    _repeat(guard.check_all, _CHECK_SECONDS)


if __name__ == "__main__":
    main()
