"""A full volume loses no acknowledged span: the guard keeps room in the queue files, or pauses the Collector."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from checks.chaos.requests import Requests
from checks.chaos.volumes import SmallVolume
from checks.harness.collector import CollectorProcess
from checks.harness.receiver import Receiver, accept, refuse
from collector.pipeline import OtlpTarget, Pipeline, render
from collector.queue_reserve import SHARE
from stack.polling import CheckFailure, poll_until
from tests.support.queue_guard import GuardProcess

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts file systems")

MEBIBYTES = 64
RESERVE = (MEBIBYTES << 20) // SHARE
PAUSED = "collector_queue_paused"
FULL = "collector_queue_volume_full"


class Guarded:
    """A Collector with its guard and a small volume, and a sender that notes what was acknowledged."""

    def __init__(self, directory: Path, store: Receiver) -> None:
        self.queue = directory / "collector" / "queue"
        self.queue.mkdir(parents=True)
        self.store = store
        self.volume = SmallVolume(self.queue)
        target = OtlpTarget(f"127.0.0.1:{store.port}")
        pipeline = Pipeline(
            trace_store=target, metric_stores=[OtlpTarget("http://127.0.0.1:9", "http")], queue_size=500_000
        )
        self.collector = CollectorProcess(self.queue.parent, render(pipeline))
        self.guard = GuardProcess(directory, self.collector)
        self.acknowledged: list[int] = []
        self._requests = Requests(f"reserve-{os.urandom(4).hex()}")
        self._number = 0

    def has_reserves(self) -> bool:
        """Whether the guard has given each queue its reserve."""
        queues = list(self.queue.glob("exporter_*"))
        return bool(queues) and all(queue.stat().st_blocks * 512 > 0.9 * RESERVE for queue in queues)

    def send(self) -> bool:
        """Send a request, and return whether the Collector acknowledged it."""
        self._number += 1
        try:
            self.collector.send(self._requests.encode(self._number), timeout=1)
        except grpc.RpcError:
            return False
        self.acknowledged.append(self._number)
        return True

    def send_until_paused(self) -> None:
        poll_until("the Collector to be paused", lambda: not self.send() and self.guard.metric(PAUSED), every=0.01)

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Send about 20 requests a second while the context is open."""
        ended = threading.Event()

        def send() -> None:
            while not ended.wait(0.05):
                self.send()

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def assert_nothing_is_lost(self) -> None:
        """Wait until the store has every acknowledged span."""
        expected = {trace for number in self.acknowledged for trace in self._requests.traces(number)}
        assert expected

        def missing() -> set[str]:
            return expected - {span.trace_id.hex() for span in self.store.spans()}

        with contextlib.suppress(CheckFailure):
            poll_until("the spans", lambda: not missing(), seconds=30)
        assert not missing()


@pytest.fixture
def guarded(store: Receiver, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Guarded]:
    it = Guarded(tmp_path, store)
    it.volume.mount(MEBIBYTES, getattr(request, "param", ""))
    try:
        it.guard.start()
        it.collector.start()
        if not hasattr(request, "param"):
            poll_until("the reserve of each queue", it.has_reserves)
        yield it
    finally:
        it.collector.kill()
        it.guard.kill()
        it.volume.unmount()


@pytest.mark.parametrize("code", [None, grpc.StatusCode.UNAVAILABLE])
def test_nothing_is_lost_while_another_program_fills_the_volume(code: grpc.StatusCode | None, guarded: Guarded) -> None:
    with guarded.sending():
        time.sleep(0.5)
        guarded.volume.fill()
        guarded.store.behave = refuse(code) if code else accept
        time.sleep(2)
        assert guarded.guard.metric(FULL) == 1
        guarded.store.behave = accept
        guarded.volume.empty()
    guarded.assert_nothing_is_lost()
    poll_until("the guard to notice the free space", lambda: guarded.guard.metric(FULL) == 0)


def test_a_paused_collector_lives_and_continues_once_there_is_room(guarded: Guarded) -> None:
    guarded.store.behave = refuse(grpc.StatusCode.UNAVAILABLE)
    guarded.volume.fill()
    guarded.send_until_paused()
    assert guarded.guard.is_live()
    assert not guarded.send()
    guarded.volume.empty()
    poll_until("the Collector to continue", lambda: not guarded.guard.metric(PAUSED))
    poll_until("the Collector to take spans", guarded.send)
    guarded.store.behave = accept
    guarded.assert_nothing_is_lost()
    guarded.collector.kill()
    assert not guarded.guard.is_live()


@pytest.mark.parametrize("is_full", [True, False])
def test_a_new_guard_continues_what_a_killed_one_paused(is_full: bool, guarded: Guarded) -> None:
    guarded.store.behave = refuse(grpc.StatusCode.UNAVAILABLE)
    guarded.volume.fill()
    guarded.send_until_paused()
    guarded.guard.kill()
    if is_full:
        guarded.guard.start()
        assert guarded.guard.metric(PAUSED) == 1
        guarded.volume.empty()
    else:
        guarded.volume.empty()
        guarded.guard.start()
    poll_until("the Collector to take spans", guarded.send)
    guarded.store.behave = accept
    guarded.assert_nothing_is_lost()


def test_a_collector_that_starts_on_a_full_volume_keeps_its_queue(guarded: Guarded) -> None:
    guarded.store.behave = refuse(grpc.StatusCode.UNAVAILABLE)
    with guarded.sending():
        time.sleep(1)
    guarded.volume.fill()
    guarded.send_until_paused()
    for _ in range(3):
        guarded.collector.kill()
        with contextlib.suppress(CheckFailure):  # it is paused before or after it is ready
            guarded.collector.start(seconds=3)
    poll_until("the Collector to be paused", lambda: guarded.guard.metric(PAUSED))
    guarded.volume.empty()
    guarded.store.behave = accept
    guarded.assert_nothing_is_lost()


@pytest.mark.parametrize("guarded", ["^extent,^64bit,^metadata_csum"], indirect=True)
def test_a_file_system_that_cannot_reserve_room_is_named_once(guarded: Guarded) -> None:
    with guarded.sending():
        time.sleep(2)
    assert guarded.guard.log.count("cannot reserve room") == 1
    ballast = guarded.queue / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(guarded.queue).free - (4 << 20)))
    with ballast.open("ab", buffering=0) as file:
        while not guarded.guard.metric(PAUSED):
            file.write(bytes(1 << 16))  # slowly
            time.sleep(0.05)
    assert guarded.guard.is_live()
    guarded.volume.empty()
    guarded.assert_nothing_is_lost()


def test_the_reserve_takes_no_more_of_the_volume_than_is_documented(guarded: Guarded) -> None:
    with guarded.sending():
        time.sleep(2)
    for file in guarded.queue.glob("exporter_*"):
        room = subprocess.run(["du", "-B1", file], check=True, capture_output=True, text=True)
        assert int(room.stdout.split()[0]) < file.stat().st_size + 2 * RESERVE + (1 << 16)
