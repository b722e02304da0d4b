"""Delivers encoded requests: new ones at once, and those of an outage from the buffer, in order."""

import time
from collections import deque
from typing import Final, Protocol

from lean_tracing.breaker import Breaker, State
from lean_tracing.buffer import Batch, Buffer
from lean_tracing.export_log import ExportLog
from lean_tracing.export_result import Exporter, ExportResult
from lean_tracing.outage import OutageLog, format_duration
from lean_tracing.settings import TracingSettings
from lean_tracing.statistics import SignalStatistics

TOO_LARGE: Final = "too_large"
# Requests are not made smaller than this, even if a receiver refuses larger ones.
_MIN_REQUEST: Final = 64 << 10
# After so many failures of one request, while others are accepted, the request itself is the reason.
_MAX_ATTEMPTS: Final = 10


class Splitter(Protocol):
    """Makes two requests of one; see `encoding.Encoder`."""

    def split(self, payload: bytes) -> tuple[bytes, bytes]:
        """The two halves of a request."""


class Delivery:
    """The requests of one signal between encoding and the receiver; for use in the exporting thread."""

    def __init__(
        self,
        settings: TracingSettings,
        splitter: Splitter,
        exporter: Exporter,
        statistics: SignalStatistics,
        log: ExportLog,
    ) -> None:
        self.buffer = Buffer(settings.buffer_bytes)
        self.breaker = Breaker(settings.breaker_failures, settings.breaker_reset_ms / 1000)
        self.outage = OutageLog(log.noun, exporter.receiver, log.write, lambda: statistics.lost)
        self.ready: deque[Batch] = deque()
        """Encoded and not tried yet."""
        self.deadline: float | None = None
        """When the export has to end, by `time.monotonic`."""
        # A request that the buffer cannot hold would be lost in an outage.
        self._largest_request = min(settings.max_request_bytes, settings.buffer_bytes)
        self.request_bytes = self._largest_request
        """The size of a request that the receiver accepts, as far as is known."""
        self._timeout = settings.timeout_ms / 1000
        self._splitter = splitter
        self._exporter = exporter
        self._statistics = statistics
        self._log = log
        self._started = time.monotonic()
        self._others_accepted = False
        """Whether the receiver has accepted a request since the oldest one of the buffer was tried."""
        # Of the request that is being split: the smallest size that was refused, and how.
        self._refusal: tuple[int, ExportResult] | None = None

    def deliver(self) -> None:
        """Sends the first request that is ready; if the receiver cannot take it now, it goes into the buffer."""
        batch = self.ready[0]
        if self._refusal is not None and len(batch.payload) >= self._refusal[0]:
            self._divide(batch)  # the receiver has just refused a smaller one
            return
        # While the buffer holds older requests, the trial of an open breaker is made with a new one.
        if self.breaker.allows():
            result = self._send(batch)
            if result.too_large:
                self._refusal = len(batch.payload), result
                self._divide(batch)
                return
            if not result.retryable:
                if result.ok and self._refusal is not None:
                    self.request_bytes = max(_MIN_REQUEST, len(batch.payload))
                self._remove_ready()
                self._settle(batch, result)
                return
        dropped = self.buffer.add(batch)
        self._remove_ready()
        self._statistics.in_flight -= batch.items
        if dropped:
            self._statistics.dropped["buffer_full"] += dropped
            self._log.warn("buffer_full", f"{dropped} {self._log.noun} dropped, the oldest: the buffer is full")

    def replay(self) -> None:
        """Sends the oldest request of the buffer."""
        batch = self.buffer.first()
        result = self._send(batch)
        if result.retryable and not self._is_hopeless(batch, result):
            return
        self.buffer.drop_first()
        self._others_accepted = False
        self._statistics.in_flight += batch.items
        if result.too_large or (result.retryable and batch.items > 1):
            # From here on it is like a new request: its halves are sent, and buffered if that fails.
            self.ready.append(batch)
            if result.too_large:
                self._refusal = len(batch.payload), result
            self._divide(batch)
            return
        if result.ok:
            self.outage.sent_late += batch.items
        self._settle(batch, result)

    def give_up(self) -> int:
        """Drops all that is left; returns the number of items."""
        dropped = self.buffer.clear()
        in_flight, self._statistics.in_flight = self._statistics.in_flight, 0
        self.ready.clear()
        if dropped + in_flight:
            self._statistics.dropped["shutdown"] += dropped + in_flight
        return dropped + in_flight

    def room(self) -> str:
        """For how long the buffer has room, as the end of a sentence; "" if that cannot be estimated."""
        buffer, ended = self.buffer, self._statistics.ended
        if not buffer.items or not ended:
            return ""
        items = (buffer.capacity - buffer.bytes) / (buffer.bytes / buffer.items)
        seconds = items * (time.monotonic() - self._started) / ended
        return f", and the buffer has room for about {format_duration(seconds)} more"

    def _divide(self, batch: Batch) -> None:
        """Replaces the first request that is ready by its halves; a single item is refused for good."""
        if batch.items == 1:
            assert self._refusal is not None
            self.outage.failed(self._refusal[1])
            self._remove_ready()
            self._statistics.in_flight -= 1
            self._statistics.refused[TOO_LARGE] += 1
            return
        first, second = self._splitter.split(batch.payload)
        half = batch.items // 2
        self.ready.popleft()
        self.ready.extendleft((Batch(second, batch.items - half), Batch(first, half)))

    def _remove_ready(self) -> None:
        """Removes the first request that was ready, which is dealt with."""
        self.ready.popleft()
        if not self.ready:
            self._refusal = None

    def _is_hopeless(self, batch: Batch, result: ExportResult) -> bool:
        """Whether a request fails because of itself: others are accepted, or it takes longer than the time limit."""
        if self._others_accepted or (result.code == "deadline_exceeded" and batch.items > 1):
            self.buffer.attempts += 1
        self._others_accepted = False
        return self.buffer.attempts >= _MAX_ATTEMPTS

    def _settle(self, batch: Batch, result: ExportResult) -> None:
        """Counts a request that is not sent again."""
        statistics, noun = self._statistics, self._log.noun
        statistics.in_flight -= batch.items
        if not result.ok:
            statistics.refused[result.code] += batch.items
            return
        rejected = min(max(0, result.rejected), batch.items)
        statistics.exported += batch.items - rejected
        if rejected:
            statistics.refused["partial"] += rejected
        if result.unreadable or rejected != result.rejected:
            self._log.count_error("answer")
            self._log.warn("answer", f"{batch.items} {noun} accepted with an answer that makes no sense")
        elif rejected or result.detail:
            self._log.warn("partial", f"{rejected} of {batch.items} {noun} refused: {result.detail}")

    def _send(self, batch: Batch) -> ExportResult:
        seconds = self._timeout
        if self.deadline is not None:
            seconds = max(0.05, min(seconds, self.deadline - time.monotonic()))
        began = time.monotonic()
        try:
            result = self._exporter.send(batch.payload, seconds)
        except BaseException:
            self.breaker.failed()
            raise
        self._statistics.requested(result.code, time.monotonic() - began)
        self._note(batch, result)
        if result.retryable:
            self.breaker.failed(result.retry_after)
        else:
            self.breaker.succeeded()
        return result

    def _note(self, batch: Batch, result: ExportResult) -> None:
        if result.code == "exception":
            self._log.count_error("send")
        if result.ok:
            if self.breaker.state is not State.CLOSED:
                self.request_bytes = self._largest_request  # the receiver may be another one, which takes larger ones
            self.outage.accepted()
            self._others_accepted = True
        elif result.too_large:
            text = f"{len(batch.payload)} bytes of {self._log.noun} refused, sent in parts: {result.detail}"
            self._log.warn("size", text)
        else:
            self.outage.failed(result)
