"""The guard quarantines damaged queue files, so that the Collector starts, and counts the lost items."""

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from checks.chaos.requests import A_REQUEST, Requests
from checks.harness.collector import CollectorProcess
from checks.harness.receiver import Receiver, receiving, refuse
from collector import queue_guard
from collector.pipeline import OtlpTarget, Pipeline, render
from collector.queue_guard import KEPT, SUFFIX, Guard
from stack.polling import poll_until
from tests.support.queue_guard import GuardProcess

QUEUE = "exporter_otlp_grpc_traces_traces"
REQUESTS = Requests("guard")
WAITING = 60
PAGE = 4096
JUNK = bytes(index * 73 % 251 for index in range(PAGE))


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the tests independent of the free space on this machine's disk."""
    monkeypatch.setattr(queue_guard, "FREE", 0.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The queue files of a Collector whose store refuses all spans: after a kill, and after a stop that follows it."""
    directory = tmp_path_factory.mktemp("files")
    file = directory / "collector" / "queue" / QUEUE
    with receiving() as store:
        store.behave = refuse(grpc.StatusCode.UNAVAILABLE)
        collector = CollectorProcess(directory / "collector", _configuration(store))
        try:
            collector.start()
            for number in range(WAITING):
                collector.send(REQUESTS.encode(number))
            collector.kill()
            killed = file.read_bytes()
            collector.start()
            collector.stop()
        finally:
            collector.kill()
    return {"killed": killed, "stopped": file.read_bytes()}


@pytest.fixture(scope="module")
def full(files: dict[str, bytes]) -> bytes:
    """The queue file of a killed Collector."""
    return files["killed"]


def _configuration(store: Receiver) -> str:
    return render(
        Pipeline(
            trace_store=OtlpTarget(f"127.0.0.1:{store.port}"),
            metric_stores=[OtlpTarget("http://127.0.0.1:9", "http")],
            queue_size=100_000,
        )
    )


def _metas(data: bytes) -> list[tuple[int, ...]]:
    """Return the two meta pages, each with its number in front, the older one first."""
    pages = [(page, *struct.unpack_from("<IIIIQQQQQQ", data, page * PAGE + 16)) for page in (0, 1)]
    return sorted(pages, key=lambda meta: meta[9])


def _root(data: bytes) -> int:
    """Return the number of the root page."""
    return _metas(data)[-1][5]


def _leaf(data: bytes) -> int:
    """Return the number of a page with spans, from the middle of the tree."""

    def below(page: int) -> Iterator[int]:
        _, kind, count, _ = struct.unpack_from("<QHHI", data, page * PAGE)
        for element in range(page * PAGE + 16, page * PAGE + 16 + 16 * count, 16):
            if kind == 1:
                yield from below(struct.unpack_from("<IIQ", data, element)[2])
            else:
                flags, offset, key, _ = struct.unpack_from("<IIII", data, element)
                if flags:
                    yield from below(struct.unpack_from("<Q", data, element + offset + key)[0])
        if kind == 2:
            yield page

    pages = list(below(_root(data)))
    return pages[len(pages) // 2]


def _overwrite(page: Callable[[bytes], int], content: bytes, byte: int = 0) -> Callable[[bytes], bytes]:
    def damage(data: bytes) -> bytes:
        begin = page(data) * PAGE + byte
        return data[:begin] + content + data[begin + len(content) :]

    return damage


def _tear_commit(data: bytes) -> bytes:
    """Return the file after a crash in the middle of a commit that then lost the newer meta page.

    A commit first writes into the pages that only the state before the last one uses. Then it writes its meta page over
    the older one. Between the two steps nothing but the newer meta page leads to a whole state.
    """
    older, newer = _metas(data)
    leaf = struct.pack("<QHHI", older[5], 2, 1, 0) + struct.pack("<IIII", 0, 16, 8, 8)
    overwritten = _overwrite(lambda _: older[5], leaf)(data)
    return _overwrite(lambda _: newer[0], JUNK)(overwritten)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "zeros over the head": _overwrite(lambda _: 0, bytes(8 * PAGE)),
    "zeros over both meta pages": _overwrite(lambda _: 0, bytes(2 * PAGE)),
    "rubbish over the root": _overwrite(_root, JUNK),
    "zeros over the root": _overwrite(_root, bytes(PAGE)),
    "rubbish over a leaf": _overwrite(_leaf, JUNK),
    "zeros over a leaf": _overwrite(_leaf, bytes(PAGE)),
    "a leaf of no kind": _overwrite(_leaf, struct.pack("<H", 0), 8),
    "a leaf with 65,535 elements": _overwrite(_leaf, struct.pack("<H", 65_535), 10),
    # With this file the Collector hangs.
    "a leaf that never ends": _overwrite(_leaf, struct.pack("<I", 0xFFFFFF), 12),
    "a key longer than its page": _overwrite(_leaf, struct.pack("<I", 0x7FFFFFFF), 24),
    # With this file the Collector's compaction at the start panics.
    "a bucket that is marked as a value": _overwrite(_root, bytes(4), 16),
    # With this file the Collector ends at the start.
    "the newer meta page, after half a commit": _tear_commit,
    "half of the file": lambda data: data[: len(data) // 2],
    "one page of the file": lambda data: data[:PAGE],
    "100 bytes of the file": lambda data: data[:100],
    "an empty file": lambda _: b"",
    "a text": lambda _: b"no queue\n" * 5000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_quarantined_and_kept(damage: str, full: bytes, tmp_path: Path) -> None:
    damaged = DAMAGES[damage](full)
    (tmp_path / QUEUE).write_bytes(damaged)
    (tmp_path / "known-items.json").write_text(f'{{"{QUEUE}": 6000}}')
    guard = Guard(tmp_path)
    guard.check_all()
    assert not (tmp_path / QUEUE).exists()
    (kept,) = tmp_path.glob(f"*{SUFFIX}")
    assert kept.read_bytes() == damaged
    assert f'collector_queue_files_set_aside_total{{queue="{QUEUE}"}} 1' in guard.metrics()
    assert f'collector_queue_items_lost_total{{queue="{QUEUE}"}} 6000' in guard.metrics()


@pytest.mark.parametrize("meta", [0, 1])
def test_a_file_that_the_collector_can_use_stays(meta: int, files: dict[str, bytes], tmp_path: Path) -> None:
    # Each meta page alone leads to a whole state if no commit was under way, which is certain after a stop.
    torn = _overwrite(lambda _: meta, JUNK)(files["stopped"])
    for content in (files["killed"], files["stopped"], torn):
        (tmp_path / QUEUE).write_bytes(content)
        guard = Guard(tmp_path)
        guard.check_all()
        assert (tmp_path / QUEUE).read_bytes() == content
        assert f'collector_queue_files_set_aside_total{{queue="{QUEUE}"}} 0' in guard.metrics()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path)])
def test_an_entry_that_is_not_a_regular_file_is_quarantined(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / QUEUE)
    guard = Guard(tmp_path)
    guard.check_all()
    assert guard.files == {QUEUE: 1}
    assert not (tmp_path / QUEUE).exists()


@pytest.mark.parametrize("mode", [0o000, 0o200, 0o400, 0o444])
def test_a_file_without_the_right_to_write_to_it_gets_that_right(mode: int, full: bytes, tmp_path: Path) -> None:
    (tmp_path / QUEUE).write_bytes(full)
    (tmp_path / QUEUE).chmod(mode)
    guard = Guard(tmp_path)
    guard.check_all()
    assert guard.files == {QUEUE: 0}
    assert (tmp_path / QUEUE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("known", ["[1]", '{"a": null}', f'{{"{QUEUE}": -5}}', "no JSON", "7"])
def test_the_guard_works_if_the_file_of_known_lengths_is_damaged(known: str, tmp_path: Path) -> None:
    (tmp_path / "known-items.json").write_text(known)
    (tmp_path / QUEUE).write_bytes(b"")
    guard = Guard(tmp_path)
    guard.check_all()
    assert (guard.files, guard.items) == ({QUEUE: 1}, {QUEUE: 0})


def test_the_number_of_kept_files_is_bounded(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    for number in range(5):
        (tmp_path / QUEUE).write_bytes(b"%d" % number)
        guard.check_all()
    assert guard.files == {QUEUE: 5}
    assert sorted(path.read_bytes() for path in tmp_path.glob(f"*{SUFFIX}")) == [b"3", b"4"][-KEPT:]


def test_no_file_is_kept_on_a_volume_without_free_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_guard, "FREE", 1.1)
    (tmp_path / QUEUE).write_bytes(b"")
    guard = Guard(tmp_path)
    guard.check_all()
    assert guard.files == {QUEUE: 1}
    assert not list(tmp_path.glob(f"*{SUFFIX}"))


def test_the_collector_starts_again_and_spans_flow(store: Receiver, tmp_path: Path) -> None:
    store.behave = refuse(grpc.StatusCode.UNAVAILABLE)
    collector = CollectorProcess(tmp_path / "collector", _configuration(store))
    directory = tmp_path / "collector" / "queue"
    directory.mkdir()
    guard = GuardProcess(tmp_path, collector)
    try:
        guard.start()
        collector.start()
        for number in range(10):
            collector.send(REQUESTS.encode(number))
        known = directory / "known-items.json"
        poll_until("the queue to be known", lambda: known.exists() and "1000" in known.read_text())
        # While the Collector has the file locked, the guard does not touch it.
        with (directory / QUEUE).open("r+b") as file:
            file.write(bytes(8 * PAGE))
        collector.kill()
        poll_until("a quarantined file", lambda: guard.metric("collector_queue_files_set_aside_total", QUEUE))
        assert guard.metric("collector_queue_items_lost_total", QUEUE) == 10 * A_REQUEST
        store.behave = lambda _: b""
        collector.start()
        collector.send(REQUESTS.encode(77))
        expected = {span for spans in REQUESTS.traces(77).values() for span in spans}
        poll_until("the spans", lambda: expected <= {span.span_id.hex() for span in store.spans()})
    finally:
        collector.kill()
        assert guard.stop() == 0
