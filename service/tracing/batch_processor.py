"""From a span's end to the receiver: a bounded queue, one thread that encodes and sends, a buffer for outages.

Whoever ends a span only appends to the queue. Nothing here blocks or fails the service, and nothing is lost without
being counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from collections import deque
from typing import Final, Generic, Protocol, TypeVar

from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from service.tracing.background import Survivor
from service.tracing.breaker import Breaker, State
from service.tracing.buffer import Batch, Buffer
from service.tracing.encoding import Request
from service.tracing.otlp_exporter import ExportResult, OtlpExporter
from service.tracing.outage import OutageLog, duration
from service.tracing.settings import TracingSettings
from service.tracing.statistics import SignalStatistics

Item = TypeVar("Item")
Input = TypeVar("Input", contravariant=True)

_COMPLAIN_EVERY: Final = 60.0  # seconds, for each reason
_LAST_TRIALS_EVERY: Final = 0.2
_START_AGAIN_AFTER: Final = 1.0
# A request is not made smaller than this because a receiver refuses larger ones.
_SMALLEST_REQUEST: Final = 64 << 10
# Failures of one request, others being accepted in between, after which the request is the reason.
_ATTEMPTS: Final = 10
# More than the name and version of a scope take in a request.
_SCOPE_BYTES: Final = 1 << 10
_TOO_LARGE: Final = "too_large"
_logger = logging.getLogger(__name__)


class Encoder(Protocol[Input]):
    """Items of one signal → export requests; see `encoding`."""

    def begin(self) -> Request:
        """A request with no items yet."""

    def item(self, item: Input) -> tuple[InstrumentationScope | None, bytes]:
        """What `Request.add` takes."""

    def split(self, payload: bytes) -> tuple[bytes, bytes]:
        """Two halves of a request."""


class BatchProcessor(Generic[Item]):
    """Exports one signal. `put` is for any thread; all else happens in a thread of its own, begun by the first item."""

    def __init__(self, signal: str, settings: TracingSettings, encoder: Encoder[Item], exporter: OtlpExporter) -> None:
        self._signal = signal
        self._noun = "spans" if signal == "traces" else "log records"
        self._settings = settings
        self._encoder = encoder
        self._exporter = exporter
        self._capacity = settings.max_queue_size
        self._batch = settings.max_batch_size
        self.statistics = SignalStatistics(
            signal=signal, queue_capacity=self._capacity, buffer_capacity=settings.buffer_bytes
        )
        self._begin()
        if hasattr(os, "register_at_fork"):
            own = weakref.ref(self)

            def forked() -> None:
                processor = own()
                if processor is not None:
                    processor._forked()

            os.register_at_fork(after_in_child=forked)

    def _begin(self) -> None:
        settings, statistics = self._settings, self.statistics
        self._queue: deque[Item] = deque()
        # The item that did not fit into the request before.
        self._carried: tuple[InstrumentationScope | None, bytes] | None = None
        self._ready: deque[Batch] = deque()  # encoded, and not tried yet
        self._refused: tuple[int, ExportResult] | None = (
            None  # the smallest size refused of a request that is being split
        )
        self._buffer = Buffer(settings.buffer_bytes)
        self._breaker = Breaker(settings.breaker_failures, settings.breaker_reset_ms / 1000)
        self._accepted_others = False  # since the oldest of the buffer was tried
        # What cannot be kept through an outage is not to be made.
        self._largest_request = min(settings.max_request_bytes, settings.buffer_bytes)
        self._request_bytes = self._largest_request
        self._thread: threading.Thread | None = None
        self._start_at = 0.0
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._ending = threading.Event()
        self._deadline = 0.0  # of the stop, by time.monotonic
        self._waiting_for_all: list[threading.Event] = []
        self._complained: dict[str, float] = {}
        self._began = time.monotonic()
        self._outage = OutageLog(self._noun, self._exporter.receiver, self._say, lambda: statistics.lost)
        self._survivor = Survivor(f"export of {self._noun}", self._ending.wait, _logger, self._survived)
        statistics.queued = lambda: len(self._queue)
        statistics.buffered = lambda: (self._buffer.items, len(self._buffer), self._buffer.bytes)
        statistics.breaker = lambda: (self._breaker.state.value, self._breaker.opened)

    def _forked(self) -> None:
        """The parent sends what was waiting; the child counts and sends only its own."""
        statistics = self.statistics
        fresh = SignalStatistics(
            signal=self._signal, queue_capacity=self._capacity, buffer_capacity=self._settings.buffer_bytes
        )
        statistics.__dict__.update(fresh.__dict__)
        self._exporter.forget()
        self._begin()

    def put(self, item: Item) -> None:
        """Hands an item over; counts it as dropped where the queue is full or the processor has ended."""
        statistics = self.statistics
        statistics.ended += 1
        queue = self._queue
        if self._stopping:
            statistics.dropped["shutdown"] += 1
            return
        if len(queue) >= self._capacity:
            statistics.dropped["queue_full"] += 1
            if self._thread is None:
                self._start()
            return
        queue.append(item)
        if self._thread is None:
            self._start()
        if len(queue) >= self._batch and not self._wake.is_set():
            self._wake.set()

    def _start(self) -> None:
        """Makes the thread, at first and where it has ended. A system that has no thread to give is asked again."""
        # Not waited for: a span may end anywhere, even where this thread is within the lock already.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is not None or time.monotonic() < self._start_at:
                return
            thread = threading.Thread(target=self._run, name=f"export-{self._signal}", daemon=True)
            self._thread = thread
            try:
                thread.start()
            except (RuntimeError, MemoryError) as error:  # no thread to be had, or the interpreter is shutting down
                self._thread = None
                self._start_at = time.monotonic() + _START_AGAIN_AFTER
                self._error("thread")
                self._complain("thread", f"{self._noun} wait: no thread can be started to export them ({error})")
        finally:
            self._starting.release()

    def flush(self, seconds: float) -> bool:
        """Waits until everything is sent, buffer included; False when time ran out."""
        if self._thread is None:
            if self._stopping or not self._waiting:
                return not self._waiting
            self._start_at = 0.0
            self._start()
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
        self._ending.set()
        self._wake.set()
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
            self._exporter.close()  # wakes a request that hangs
            thread.join(1.0)
        elif self._waiting:
            self._finish()  # the thread could not be started, or has died
        self._exporter.close()
        lost = self._give_up() if thread is None or not thread.is_alive() else self._give_up_queue()
        if lost:
            self._say(logging.WARNING, f"{lost} {self._noun} were not exported before the end")
        return not lost

    def _give_up(self) -> int:
        """Counts all that is left as dropped."""
        statistics, ready = self.statistics, self._ready
        lost = self._buffer.clear()
        flying, statistics.in_flight = statistics.in_flight, 0
        ready.clear()
        self._carried = None
        if lost + flying:
            statistics.dropped["shutdown"] += lost + flying
        return lost + flying + self._give_up_queue()

    def _give_up_queue(self) -> int:
        """Of a thread that still works on the rest, the end is not known."""
        lost = 0
        with contextlib.suppress(IndexError):  # the thread may take one as well
            while True:
                self._queue.popleft()
                self.statistics.dropped["shutdown"] += 1
                lost += 1
        return lost

    @property
    def _waiting(self) -> int:
        """Items that are not sent yet."""
        return len(self._queue) + self._buffer.items + self.statistics.in_flight

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._survivor.run(self._turn)
            self._finish()
        finally:
            # `put` makes another one, should this one end for a reason that nobody has thought of.
            self._thread = None

    def _turn(self) -> None:
        delay = self._settings.delay_ms / 1000
        trial = self._breaker.seconds_until_trial()
        # An outage needs a look when the next trial is due, whether anything else happens or not.
        self._wake.wait(min(delay, trial) if self._buffer and trial else delay)
        self._wake.clear()
        self._work()

    def _finish(self) -> None:
        """No later trial is left to wait for, only the time that the end may take."""
        while not self._late():
            self._survivor.run(self._last_turn)
            if not self._waiting:
                break
            self._wake.clear()
            self._wake.wait(_LAST_TRIALS_EVERY)

    def _last_turn(self) -> None:
        self._breaker.try_now()
        self._work()

    def _work(self) -> None:
        """Sends what is waiting, new before old where both wait, one request of each in turn."""
        began = time.thread_time()
        try:
            while not self._late():
                if not self._ready:
                    self._encode()
                live = bool(self._ready)
                if live:
                    self._deliver()
                if self._buffer and not self._ready and self._breaker.allows():
                    self._replay()
                elif not live:
                    break
                if self._outage.lasts:
                    self._outage.tell(self._waiting, self._room())
        finally:
            self.statistics.worker_cpu_seconds += time.thread_time() - began
        if self._outage.lasts:
            self._outage.tell(self._waiting, self._room())
        if not self._waiting:
            while self._waiting_for_all:
                self._waiting_for_all.pop().set()

    def _late(self) -> bool:
        return self._stopping and time.monotonic() >= self._deadline

    def _encode(self) -> None:
        """Makes a request out of what is queued, closed by the number of items or by their bytes."""
        request = self._encoder.begin()
        room = self._settings.max_request_bytes - request.size - _SCOPE_BYTES
        if self._carried is not None:
            request.add(*self._carried)
            self._carried = None
        queue, encode, statistics = self._queue, self._encoder.item, self.statistics
        batch, most = self._batch, self._request_bytes
        while queue and request.items < batch:
            item = queue.popleft()
            statistics.in_flight += 1
            try:
                scope, encoded = encode(item)
            except BaseException as error:  # whatever it is, it must not stop all the others
                self._lose("encoding", 1, f"not encoded, {type(error).__name__}")
                continue
            if request.size + len(encoded) > most:
                if len(encoded) > room:
                    statistics.in_flight -= 1
                    statistics.refused[_TOO_LARGE] += 1
                    self._complain(_TOO_LARGE, f"one of the {self._noun} is {len(encoded)} bytes long: not sent")
                    continue
                if request.items:
                    self._carried = scope, encoded
                    break
            request.add(scope, encoded)
        if request.items:
            self._ready.append(Batch(request.encode(), request.items))

    def _deliver(self) -> None:
        """Sends what is ready; what the receiver cannot take now goes into the buffer."""
        batch = self._ready[0]
        if self._refused is not None and len(batch.payload) >= self._refused[0]:
            self._divide(batch)  # the receiver has refused less than that a moment ago
            return
        # Behind a buffer a live batch would overtake what is older; only a trial tells whether it gets through.
        if self._breaker.allows():
            result = self._send(batch)
            if result.too_large:
                self._refused = len(batch.payload), result
                self._divide(batch)
                return
            if not result.retryable:
                if result.ok and self._refused is not None:
                    self._request_bytes = max(_SMALLEST_REQUEST, len(batch.payload))
                self._taken()
                self._settle(batch, result)
                return
        lost = self._buffer.add(batch)
        self._taken()
        self.statistics.in_flight -= batch.items
        if lost:
            self.statistics.dropped["buffer_full"] += lost
            self._complain("buffer_full", f"{lost} {self._noun} dropped, the oldest: the buffer is full")

    def _divide(self, batch: Batch) -> None:
        """Puts two halves in the place of the first batch that is ready; a single item is refused for good."""
        if batch.items == 1:
            assert self._refused is not None
            self._outage.failed(self._refused[1])
            self._taken()
            self.statistics.in_flight -= 1
            self.statistics.refused[_TOO_LARGE] += 1
            return
        first, second = self._encoder.split(batch.payload)
        half = batch.items // 2
        self._ready.popleft()
        self._ready.extendleft((Batch(second, batch.items - half), Batch(first, half)))

    def _taken(self) -> None:
        """The first batch that was ready is dealt with."""
        self._ready.popleft()
        if not self._ready:
            self._refused = None

    def _replay(self) -> None:
        """Sends the oldest of the buffer."""
        batch = self._buffer.first()
        result = self._send(batch)
        if result.retryable and not self._is_hopeless(batch, result):
            return
        self._buffer.drop_first()
        self._accepted_others = False
        self.statistics.in_flight += batch.items
        if result.too_large or (result.retryable and batch.items > 1):
            # From here on like a new one: its halves are sent, and buffered where that fails.
            self._ready.append(batch)
            if result.too_large:
                self._refused = len(batch.payload), result
            self._divide(batch)
            return
        if result.ok:
            self._outage.late += batch.items
        self._settle(batch, result)

    def _is_hopeless(self, batch: Batch, result: ExportResult) -> bool:
        """Whether the request itself is the reason why it fails: others get through, or it takes longer than it may."""
        if self._accepted_others or (result.code == "deadline_exceeded" and batch.items > 1):
            self._buffer.attempts += 1
        self._accepted_others = False
        return self._buffer.attempts >= _ATTEMPTS

    def _settle(self, batch: Batch, result: ExportResult) -> None:
        """Counts a batch that is not sent again."""
        statistics = self.statistics
        statistics.in_flight -= batch.items
        if not result.ok:
            statistics.refused[result.code] += batch.items
            return
        rejected = min(max(0, result.rejected), batch.items)
        statistics.exported += batch.items - rejected
        if rejected:
            statistics.refused["partial"] += rejected
        if result.unreadable or rejected != result.rejected:
            self._error("answer")
            self._complain("answer", f"{batch.items} {self._noun} accepted with an answer that makes no sense")
        elif rejected or result.detail:
            self._complain("partial", f"{rejected} of {batch.items} {self._noun} refused: {result.detail}")

    def _send(self, batch: Batch) -> ExportResult:
        seconds = self._settings.timeout_ms / 1000
        if self._stopping:
            seconds = max(0.05, min(seconds, self._deadline - time.monotonic()))
        began = time.monotonic()
        try:
            result = self._exporter.send(batch.payload, seconds)
        except BaseException:
            self._breaker.failed()
            raise
        self.statistics.requested(result.code, time.monotonic() - began)
        if result.code == "exception":
            self._error("send")
        if result.ok:
            if self._breaker.state is not State.CLOSED:
                self._request_bytes = self._largest_request  # another receiver may take larger ones
            self._outage.accepted()
            self._accepted_others = True
        elif result.too_large:
            self._complain(
                "size", f"{len(batch.payload)} bytes of {self._noun} refused, sent in parts: {result.detail}"
            )
        else:
            self._outage.failed(result)
        if result.retryable:
            self._breaker.failed(result.retry_after)
        else:
            self._breaker.succeeded()
        return result

    def _lose(self, reason: str, count: int, why: str) -> None:
        self.statistics.in_flight -= count
        self.statistics.dropped[reason] += count
        self._complain(reason, f"{count} {self._noun} dropped: {why}")

    def _survived(self) -> None:
        """After an exception: what was in hand when it was raised, and is nowhere else now, is lost."""
        self._error("loop")
        kept = sum(batch.items for batch in self._ready) + (self._carried is not None)
        if stray := self.statistics.in_flight - kept:
            self._lose("error", stray, "an exception in the export")

    def _room(self) -> str:
        """For how long the buffer has room, where that can be told."""
        buffer, ended = self._buffer, self.statistics.ended
        if not buffer.items or not ended:
            return ""
        room = (buffer.capacity - buffer.bytes) / (buffer.bytes / buffer.items)
        return f", and the buffer has room for about {duration(room * (time.monotonic() - self._began) / ended)} more"

    def _error(self, kind: str) -> None:
        self.statistics.errors[kind] += 1

    def _complain(self, reason: str, text: str) -> None:
        now = time.monotonic()
        if now - self._complained.get(reason, -_COMPLAIN_EVERY) >= _COMPLAIN_EVERY:
            self._complained[reason] = now
            self._say(logging.WARNING, f"{text}; the counters tell of the others")

    def _say(self, level: int, text: str) -> None:
        # A handler or a filter of the application may raise; the export goes on.
        try:
            _logger.log(level, "%s", text)
        except Exception:
            self._error("log")
