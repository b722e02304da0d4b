"""The real Loki with a real S3 server: lines outlive Loki's disk, and the storage may be unavailable."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from checks.harness.http import CLIENT
from checks.harness.s3 import ACCESS
from stack.components.loki.settings import Logs
from stack.polling import poll_until
from tests.support.loki_process import LokiProcess
from tests.support.loki_ring import knows_three, loki_ring
from tests.support.object_storage import Storage, empty, object_storage

HOUR = 3600 * 10**9


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with object_storage(tmp_path / "storage") as storage:
        yield storage


@pytest.fixture
def loki(storage: Storage, tmp_path: Path) -> Iterator[LokiProcess]:
    storage.trust(tmp_path)
    settings = Logs(memory="256Mi", object_storage=storage.settings("logs"))
    process = LokiProcess(tmp_path, settings=settings, environment=ACCESS)
    process.start()
    yield process
    process.kill()


def flush(loki: LokiProcess) -> None:
    """Write all chunks to the storage, as Loki does for each chunk that is full or old."""
    assert CLIENT.post(f"{loki.url}/flush", timeout=30).is_success


def lines(loki: LokiProcess, service: str, now: int) -> set[str]:
    return {line for _, _, line in loki.query(f'{{service_name="{service}"}}', now - HOUR, now + HOUR)}


def test_old_lines_outlive_a_kill_and_the_disk(loki: LokiProcess, storage: Storage, tmp_path: Path) -> None:
    now = time.time_ns()
    expected = {f"line {number}": now + number for number in range(100)}
    loki.write("gateway", expected)
    flush(loki)
    poll_until("a chunk in the bucket", lambda: storage.files("logs"))
    # Loki writes its index to the storage every 15 minutes, and when it stops.
    loki.stop()
    loki.start()
    loki.kill()
    empty(tmp_path / "data")
    loki.start()
    assert lines(loki, "gateway", now) == expected.keys()


def test_an_unavailable_storage_loses_nothing(loki: LokiProcess, storage: Storage) -> None:
    now = time.time_ns()
    storage.server.kill()
    expected = {f"line {number}": now + number for number in range(100)}
    loki.write("gateway", expected)
    flush(loki)
    loki.kill()
    loki.start()
    later = {f"later {number}": now + number for number in range(100)}
    loki.write("gateway", later)
    assert not storage.files("logs/fake")
    storage.server.start()
    flush(loki)
    poll_until("the chunk in the bucket", lambda: storage.files("logs/fake"))
    assert lines(loki, "gateway", now) == expected.keys() | later.keys()


@pytest.fixture
def lokis(storage: Storage, tmp_path: Path) -> Iterator[list[LokiProcess]]:
    """Three of a ring, each at an address of its own."""
    with loki_ring(tmp_path, storage) as members:
        yield [member.loki for member in members]


@pytest.mark.nightly  # three servers on two cores
def test_one_of_three_lokis_with_its_disk_is_lost_and_no_line(lokis: list[LokiProcess], tmp_path: Path) -> None:
    first, second, third = lokis
    for loki in lokis:
        poll_until("three members of the ring", partial(knows_three, loki))
    now = time.time_ns()
    first_lines = {f"first {number}": now + number for number in range(100)}
    first.write("gateway", first_lines)
    third.kill()
    second_lines = {f"second {number}": now + number for number in range(100)}
    first.write("gateway", second_lines)
    assert lines(second, "gateway", now) == first_lines.keys() | second_lines.keys()
    empty(tmp_path / "127.0.1.3" / "data")
    third.start()
    for loki in lokis:
        assert lines(loki, "gateway", now) == first_lines.keys() | second_lines.keys()
    second.kill()
    assert lines(third, "gateway", now) == first_lines.keys() | second_lines.keys()
