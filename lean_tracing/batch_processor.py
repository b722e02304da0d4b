"""The batch processor of one signal: from the end of a span to the receiver, in a thread of its own.

The code that ends a span only appends it to a bounded queue. Nothing here blocks or fails the service, and nothing is
lost without being counted.
"""

import contextlib
import logging
import os
import threading
import time
import weakref
from collections import deque
from typing import Final, Generic, Protocol, TypeVar

from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from lean_tracing.background import StepRunner
from lean_tracing.buffer import Batch
from lean_tracing.delivery import TOO_LARGE, Delivery, Splitter
from lean_tracing.encoding import Request
from lean_tracing.export_log import ExportLog
from lean_tracing.export_result import Exporter
from lean_tracing.settings import TracingSettings
from lean_tracing.statistics import SignalStatistics
from lean_tracing.suppression import suppressed
from lean_tracing.wakeup import Wakeup

Item = TypeVar("Item")
Input = TypeVar("Input", contravariant=True)

_LAST_TRIAL_SECONDS: Final = 0.2
_START_AGAIN_SECONDS: Final = 1.0
# More than the name and version of a scope take in a request.
_SCOPE_BYTES: Final = 1 << 10


class Encoder(Splitter, Protocol[Input]):
    """Makes export requests of the items of one signal; see `encoding.Encoder`."""

    def begin(self) -> Request:
        """An empty request."""

    def item(self, item: Input) -> tuple[InstrumentationScope | None, bytes]:
        """The arguments of `Request.add`."""


class BatchProcessor(Generic[Item]):
    """Exports one signal. `put` is for any thread; the rest happens in a thread that the first item starts."""

    def __init__(self, signal: str, settings: TracingSettings, encoder: Encoder[Item], exporter: Exporter) -> None:
        self._signal = signal
        self._settings = settings
        self._encoder = encoder
        self._exporter = exporter
        self._capacity = settings.max_queue_size
        self._batch = settings.max_batch_size
        self.statistics = self._new_statistics()
        self._reset()
        if hasattr(os, "register_at_fork"):
            own = weakref.ref(self)

            def in_child() -> None:
                if (processor := own()) is not None:
                    processor._forked()

            os.register_at_fork(after_in_child=in_child)

    def _new_statistics(self) -> SignalStatistics:
        return SignalStatistics(
            signal=self._signal, queue_capacity=self._capacity, buffer_capacity=self._settings.buffer_bytes
        )

    def _reset(self) -> None:
        statistics = self.statistics
        self._log = ExportLog(statistics)
        self._queue: deque[Item] = deque()
        # A shorter queue takes an item without any further step: the thread runs, and no batch becomes full.
        self._calm_length = 0
        # The encoded item that did not fit into the previous request.
        self._carried: tuple[InstrumentationScope | None, bytes] | None = None
        self._delivery = Delivery(self._settings, self._encoder, self._exporter, statistics, self._log)
        self._thread: threading.Thread | None = None
        self._start_at = 0.0
        self._starting = threading.Lock()
        self._wake = Wakeup()
        self._stopping = False
        self._ending = threading.Event()
        self._deadline = 0.0  # of the shutdown, by time.monotonic
        self._flushes: list[threading.Event] = []
        name = f"export of {self._log.noun}"
        self._runner = StepRunner(name, self._ending.wait, self._log.logger, self._count_items_lost_by_exception)
        delivery = self._delivery
        statistics.queued = lambda: len(self._queue)
        statistics.buffered = lambda: (delivery.buffer.items, len(delivery.buffer), delivery.buffer.bytes)
        statistics.breaker = lambda: (delivery.breaker.state.value, delivery.breaker.opened)

    def _forked(self) -> None:
        """Starts again in a forked child: the parent sends what was waiting, and the child counts only its own."""
        self.statistics.__dict__.update(self._new_statistics().__dict__)
        self._exporter.forget()
        self._reset()

    def put(self, item: Item) -> None:
        """Takes an item; counts it as dropped if the queue is full or the processor has ended."""
        self.statistics.ended += 1
        queue = self._queue
        if len(queue) < self._calm_length:
            queue.append(item)
        else:
            self._put_or_drop(item)

    def _put_or_drop(self, item: Item) -> None:
        statistics, queue = self.statistics, self._queue
        if self._stopping:
            statistics.dropped["shutdown"] += 1
            return
        is_full = len(queue) >= self._capacity
        if is_full:
            statistics.dropped["queue_full"] += 1
        else:
            queue.append(item)
        if self._thread is None:
            self._start()
        if not is_full and len(queue) >= self._batch:
            self._wake.set()

    def _start(self) -> None:
        """Starts the thread, the first time or after it has died. If the system has none, asks again a second later."""
        # Does not wait for the lock: a span may end anywhere, even in a thread that already holds it.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is not None or time.monotonic() < self._start_at:
                return
            thread = threading.Thread(target=self._run, name=f"export-{self._signal}", daemon=True)
            self._thread = thread
            self._calm_length = 0 if self._stopping else self._batch - 1
            try:
                thread.start()
            except (RuntimeError, MemoryError) as error:  # no more threads, or the interpreter is shutting down
                self._forget_thread()
                self._start_at = time.monotonic() + _START_AGAIN_SECONDS
                self._log.count_error("thread")
                text = f"{self._log.noun} wait: no thread can be started to export them ({error})"
                self._log.warn("thread", text)
        finally:
            self._starting.release()

    def flush(self, seconds: float) -> bool:
        """Waits until everything is sent, the buffer included; False if that takes longer."""
        if self._thread is None:
            if self._stopping or not self._waiting:
                return not self._waiting
            self._start_at = 0.0
            self._start()
        done = threading.Event()
        self._flushes.append(done)
        self._wake.set()
        if done.wait(seconds):
            return True
        with contextlib.suppress(ValueError):  # the thread has taken it meanwhile
            self._flushes.remove(done)  # in a long outage they would fill the memory
        return done.is_set()

    def shutdown(self, seconds: float) -> bool:
        """Sends what is left, and takes at most this long. Counts and logs what could not be sent; False if any."""
        if self._stopping:
            return True
        self._delivery.deadline = self._deadline = time.monotonic() + seconds
        self._stopping = True
        self._calm_length = 0
        self._ending.set()
        self._wake.set()
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
            self._exporter.close()  # ends a request that hangs
            thread.join(1.0)
        elif self._waiting:
            self._finish()  # the thread could not be started, or has died
        self._exporter.close()
        lost = 0
        if thread is None or not thread.is_alive():  # a thread that still works may yet send what it has in hand
            self._carried = None
            lost += self._delivery.give_up()
        lost += self._drop_queue()
        if lost:
            self._log.write(logging.WARNING, f"{lost} {self._log.noun} were not exported before the end")
        return not lost

    def _drop_queue(self) -> int:
        dropped = 0
        with contextlib.suppress(IndexError):  # the thread may take items as well
            while True:
                self._queue.popleft()
                self.statistics.dropped["shutdown"] += 1
                dropped += 1
        return dropped

    @property
    def _waiting(self) -> int:
        """Items that are not sent yet."""
        return len(self._queue) + self._delivery.buffer.items + self.statistics.in_flight

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._runner.run(self._turn)
            self._finish()
        finally:
            self._forget_thread()

    def _forget_thread(self) -> None:
        """`put` starts another one, if this one ends for an unforeseen reason."""
        self._calm_length = 0
        self._thread = None

    def _turn(self) -> None:
        delay = self._settings.delay_ms / 1000
        trial = self._delivery.breaker.seconds_until_trial()
        # In an outage the next trial must not wait for new items.
        is_woken = self._wake.wait(min(delay, trial) if self._delivery.buffer and trial else delay)
        # What a full batch leaves in the queue waits for more, because a request costs as much as hundreds of items.
        self._work(least=self._batch if is_woken and not self._flushes else 1)

    def _finish(self) -> None:
        """Sends what is left until the deadline, without waiting for the breaker."""
        while not self._is_late():
            self._runner.run(self._last_turn)
            if not self._waiting:
                break
            self._wake.forget()
            self._wake.wait(_LAST_TRIAL_SECONDS)

    def _last_turn(self) -> None:
        self._delivery.breaker.try_now()
        self._work()

    def _work(self, least: int = 1) -> None:
        """Sends what is waiting. Where both new and old requests wait, one of each in turn, the new one first.

        Args:
            least: items that a new request is worth.
        """
        delivery = self._delivery
        began = time.thread_time()
        try:
            with suppressed():  # an instrumentation of gRPC would make a span of each export, and so on for ever
                while not self._is_late():
                    if not delivery.ready and len(self._queue) + (self._carried is not None) >= least:
                        self._encode()
                    is_live = bool(delivery.ready)
                    if is_live:
                        delivery.deliver()
                    if delivery.buffer and not delivery.ready and delivery.breaker.allows():
                        delivery.replay()
                    elif not is_live:
                        break
                    self._report_outage()
        finally:
            self.statistics.worker_cpu_seconds += time.thread_time() - began
        self._report_outage()
        if not self._waiting:
            while self._flushes:
                self._flushes.pop().set()

    def _report_outage(self) -> None:
        if self._delivery.outage.is_active:
            self._delivery.outage.report(self._waiting, self._delivery.room())

    def _is_late(self) -> bool:
        return self._stopping and time.monotonic() >= self._deadline

    def _encode(self) -> None:
        """Makes a request of what is queued, limited by the number of items and by their bytes."""
        request = self._encoder.begin()
        room = self._settings.max_request_bytes - request.size - _SCOPE_BYTES
        if self._carried is not None:
            request.add(*self._carried)
            self._carried = None
        queue, encode, statistics = self._queue, self._encoder.item, self.statistics
        max_items, max_bytes = self._batch, self._delivery.request_bytes
        while queue and request.items < max_items:
            item = queue.popleft()
            statistics.in_flight += 1
            try:
                scope, encoded = encode(item)
            except BaseException as error:  # one item must not stop all the others
                self._drop_in_flight("encoding", 1, f"not encoded, {type(error).__name__}")
                continue
            if request.size + len(encoded) > max_bytes:
                if len(encoded) > room:
                    statistics.in_flight -= 1
                    statistics.refused[TOO_LARGE] += 1
                    text = f"one of the {self._log.noun} is {len(encoded)} bytes long: not sent"
                    self._log.warn(TOO_LARGE, text)
                    continue
                if request.items:
                    self._carried = scope, encoded
                    break
            request.add(scope, encoded)
        if request.items:
            self._delivery.ready.append(Batch(request.encode(), request.items))

    def _drop_in_flight(self, reason: str, count: int, why: str) -> None:
        self.statistics.in_flight -= count
        self.statistics.dropped[reason] += count
        self._log.warn(reason, f"{count} {self._log.noun} dropped: {why}")

    def _count_items_lost_by_exception(self) -> None:
        """Counts the items in flight that no batch has: an exception interrupted the work on them; they are lost."""
        self._log.count_error("loop")
        held = sum(batch.items for batch in self._delivery.ready) + (self._carried is not None)
        if stray := self.statistics.in_flight - held:
            self._drop_in_flight("error", stray, "an exception in the export")
