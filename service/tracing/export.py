"""From a span's end to the receiver: a bounded queue, one thread that encodes and sends, a buffer for outages.

Whoever ends a span only appends to the queue. Nothing here blocks or fails the service, and nothing is lost without
being counted.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from service.tracing.breaker import Breaker
from service.tracing.buffer import Batch, Buffer
from service.tracing.config import TracingSettings
from service.tracing.sender import Answer, Sender
from service.tracing.statistics import SignalStatistics

Item = TypeVar("Item")

_COMPLAIN_EVERY: Final = 60.0  # seconds
_LAST_TRIALS_EVERY: Final = 0.2
_logger = logging.getLogger(__name__)


class Pipeline(Generic[Item]):
    """Exports one signal. `put` is for any thread; all else happens in a thread of its own, begun by the first item."""

    def __init__(
        self, signal: str, settings: TracingSettings, encode: Callable[[Sequence[Item]], bytes], sender: Sender
    ) -> None:
        self._signal = signal
        self._settings = settings
        self._encode = encode
        self._sender = sender
        self._capacity = settings.max_queue_size
        self._batch = settings.max_batch_size
        self.statistics = SignalStatistics(
            signal=signal, queue_capacity=self._capacity, buffer_capacity=settings.buffer_bytes
        )
        self._begin()
        if hasattr(os, "register_at_fork"):
            own = weakref.ref(self)

            def forked() -> None:
                pipeline = own()
                if pipeline is not None:
                    pipeline._forked()

            os.register_at_fork(after_in_child=forked)

    def _begin(self) -> None:
        settings = self._settings
        self._queue: deque[Item] = deque()
        self._buffer = Buffer(settings.buffer_bytes)
        self._breaker = Breaker(settings.breaker_failures, settings.breaker_reset_ms / 1000)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._deadline = 0.0  # of the stop, by time.monotonic
        self._waiting_for_all: list[threading.Event] = []
        self._complained = -_COMPLAIN_EVERY
        self.statistics.queued = lambda: len(self._queue)
        self.statistics.buffered = lambda: (self._buffer.items, len(self._buffer), self._buffer.bytes)
        self.statistics.breaker = lambda: (self._breaker.state.value, self._breaker.opened)

    def _forked(self) -> None:
        """The parent sends what was waiting; the child counts and sends only its own."""
        statistics = self.statistics
        fresh = SignalStatistics(
            signal=self._signal, queue_capacity=self._capacity, buffer_capacity=self._settings.buffer_bytes
        )
        statistics.__dict__.update(fresh.__dict__)
        self._sender.forget()
        self._begin()

    def put(self, item: Item) -> None:
        """Hands an item over; counts it as dropped where the queue is full or the pipeline has ended."""
        statistics = self.statistics
        statistics.ended += 1
        queue = self._queue
        if self._stopping:
            statistics.dropped["shutdown"] += 1
            return
        if len(queue) >= self._capacity:
            statistics.dropped["queue_full"] += 1
            return
        queue.append(item)
        if self._thread is None:
            self._start()
        if len(queue) >= self._batch and not self._wake.is_set():
            self._wake.set()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"export-{self._signal}", daemon=True)
                self._thread.start()

    def flush(self, seconds: float) -> bool:
        """Waits until everything is sent, buffer included; False when time ran out."""
        if self._thread is None:
            return True
        done = threading.Event()
        self._waiting_for_all.append(done)
        self._wake.set()
        return done.wait(seconds)

    def shutdown(self, seconds: float) -> bool:
        """Sends what is left, at most this long; what could not be sent is counted and said. False if there was any."""
        if self._stopping:
            return True
        self._deadline = time.monotonic() + seconds
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(seconds)
            self._sender.close()  # wakes a request that hangs
            self._thread.join(1.0)
        self._sender.close()
        lost = len(self._queue) + self._buffer.items
        if lost:
            self._queue.clear()
            self._buffer.clear()
            self.statistics.dropped["shutdown"] += lost
            _logger.warning("%d %s were not exported before the end", lost, self._noun)
        return not lost

    @property
    def _noun(self) -> str:
        return "spans" if self._signal == "traces" else "log records"

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        delay = self._settings.delay_ms / 1000
        while not self._stopping:
            trial = self._breaker.seconds_until_trial()
            # An outage needs a look when the next trial is due, whether anything else happens or not.
            self._wake.wait(min(delay, trial) if self._buffer and trial else delay)
            self._wake.clear()
            self._work()
        # No later trial is left to wait for, only the time that the end may take.
        while not self._late():
            self._breaker.try_now()
            self._work()
            if not self._queue and not self._buffer:
                break
            self._wake.clear()
            self._wake.wait(_LAST_TRIALS_EVERY)

    def _work(self) -> None:
        """Sends what is waiting, new before old where both wait, one batch of each in turn."""
        began = time.thread_time()
        while not self._late():
            live = bool(self._queue)
            if live:
                self._deliver(self._take())
            if self._buffer and self._breaker.allows():
                self._replay()
            elif not live:
                break
        if not self._queue and not self._buffer:
            while self._waiting_for_all:
                self._waiting_for_all.pop().set()
        self.statistics.worker_cpu_seconds += time.thread_time() - began

    def _late(self) -> bool:
        return self._stopping and time.monotonic() >= self._deadline

    def _take(self) -> list[Item]:
        queue = self._queue
        batch = [queue.popleft() for _ in range(min(self._batch, len(queue)))]
        self.statistics.in_flight += len(batch)
        return batch

    def _deliver(self, items: list[Item]) -> None:
        statistics = self.statistics
        try:
            payload = self._encode(items)
        except Exception as error:  # whatever it is, it must not stop all the others
            items, lost = self._encodable(items)
            statistics.dropped["encoding"] += lost
            statistics.in_flight -= lost
            self._complain(f"not encoded ({type(error).__name__})", lost)
            if not items:
                return
            payload = self._encode(items)
        count = len(items)
        batch = Batch(payload, count)
        # Behind a buffer a live batch would overtake what is older; only a trial tells whether it gets through.
        if self._breaker.allows():
            answer = self._send(batch)
            if not answer.retryable:
                statistics.in_flight -= count
                return
        if lost := self._buffer.add(batch):
            statistics.dropped["buffer_full"] += lost
            self._complain("dropped, the buffer is full", lost)
        statistics.in_flight -= count

    def _encodable(self, items: list[Item]) -> tuple[list[Item], int]:
        """Those that can be encoded, and how many cannot."""
        good = []
        for item in items:
            try:
                self._encode([item])
            except Exception:
                continue
            good.append(item)
        return good, len(items) - len(good)

    def _replay(self) -> None:
        if not self._send(self._buffer.first()).retryable:
            self._buffer.drop_first()

    def _send(self, batch: Batch) -> Answer:
        seconds = self._settings.timeout_ms / 1000
        if self._stopping:
            seconds = max(0.05, min(seconds, self._deadline - time.monotonic()))
        began = time.monotonic()
        answer = self._sender.send(batch.payload, seconds)
        statistics = self.statistics
        statistics.requested(answer.code, time.monotonic() - began)
        if answer.retryable:
            self._breaker.failed()
            return answer
        self._breaker.succeeded()
        if answer.ok:
            statistics.exported += batch.items - answer.rejected
            if answer.rejected:
                statistics.refused["partial"] += answer.rejected
                self._complain(f"refused: {answer.detail}", answer.rejected)
        else:
            statistics.refused[answer.code] += batch.items
            self._complain(f"refused ({answer.code}): {answer.detail}", batch.items)
        return answer

    def _complain(self, why: str, count: int) -> None:
        now = time.monotonic()
        if now - self._complained >= _COMPLAIN_EVERY:
            self._complained = now
            _logger.warning("%d %s %s; the counters tell of the others", count, self._noun, why)
