"""Sends spans at a constant rate, and repeats each request until it is acknowledged."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import grpc

from checks.chaos.ledger import Ledger
from checks.chaos.requests import A_REQUEST, Requests
from lean_tracing.otlp_exporter import TRACES

_SENDERS: Final = 8
_REQUEST_SECONDS: Final = 10.0
_LONGEST_PAUSE: Final = 2.0


class Load:
    """Sends requests to the Collectors and notes every acknowledgement in the ledger."""

    def __init__(
        self, requests: Requests, ledger: Ledger, target: str, token: str | None, *, spans: int, rate: float
    ) -> None:
        """target: host:port of OTLP over gRPC; spans: how many in all; rate: spans a second."""
        self._requests = requests
        self._ledger = ledger
        self._target = target
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._count = -(-spans // A_REQUEST)
        self._seconds_each = A_REQUEST / rate
        self._next = 0
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._started = 0.0
        self.acknowledged = 0
        """Requests."""
        self.resent = 0
        """Requests that were sent again because no acknowledgement arrived."""
        self.errors: dict[str, int] = {}
        """gRPC codes of the requests that were not acknowledged."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Sends while the context is open; at its end, finishes the requests that have begun."""
        self._started = time.monotonic()
        threads = [threading.Thread(target=self._send_all, name=f"load-{index}") for index in range(_SENDERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ending.set()
            for thread in threads:
                thread.join()

    @property
    def spans(self) -> int:
        """Acknowledged spans."""
        return self.acknowledged * A_REQUEST

    @property
    def total(self) -> int:
        """Spans to be acknowledged in all."""
        return self._count * A_REQUEST

    @property
    def behind(self) -> int:
        """Spans that should have been acknowledged by now."""
        due = min(self._count, int((time.monotonic() - self._started) / self._seconds_each))
        return max(0, due - self.acknowledged) * A_REQUEST

    def _send_all(self) -> None:
        channel = self._open()
        try:
            while (number := self._take()) is not None:
                channel = self._deliver(channel, number)
        finally:
            channel.close()

    def _take(self) -> int | None:
        """The next number, when it is due; None at the end."""
        with self._lock:
            number = self._next
            if number >= self._count or self._ending.is_set():
                return None
            self._next += 1
        due = self._started + number * self._seconds_each
        self._ending.wait(max(0.0, due - time.monotonic()))
        return number

    def _deliver(self, channel: grpc.Channel, number: int) -> grpc.Channel:
        """Sends one request until it is acknowledged. The Service picks a Collector for each new connection."""
        payload = self._requests.encode(number)
        pause = 0.1
        while True:
            try:
                channel.unary_unary(TRACES)(payload, timeout=_REQUEST_SECONDS, metadata=self._metadata)
            except grpc.RpcError as error:
                with self._lock:
                    self.resent += 1
                    self.errors[error.code().name] = self.errors.get(error.code().name, 0) + 1
                channel.close()
                threading.Event().wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                channel = self._open()
                continue
            self._ledger.acknowledge(number)
            with self._lock:
                self.acknowledged += 1
            return channel

    def _open(self) -> grpc.Channel:
        # Without a pool of its own, gRPC would share one connection, to one Collector, between all senders.
        options: Sequence[tuple[str, int]] = (("grpc.use_local_subchannel_pool", 1),)
        return grpc.insecure_channel(self._target, options=options)
