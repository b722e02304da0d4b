"""Requests of the rollout's own, whose traces are looked up: what is not in the store was not traced."""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from contracts.hops import HOPS, Hop
from service.tracing.background import Loop
from stack.clients.traces import TraceStoreClient
from stack.polling import CheckFailure

# What a request is and which hops its trace has is said once: deployments are proved by it, too.
from stack.smoke.check import submit
from stack.smoke.match import match_hops

_ANSWER_SECONDS: Final = 10.0
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Sent:
    trace_id: str
    span_id: str
    at: float


class Probes:
    """Sends one request after the other while its context is open, to each of the given gateways in turn."""

    def __init__(
        self,
        gateways: Sequence[str],
        store: TraceStoreClient,
        *,
        every: float,
        found_within: float,
        hops: Sequence[Hop] = HOPS,
    ) -> None:
        """every: seconds between two; found_within: seconds after which a trace that is not whole is missed."""
        self._hops = hops
        self._gateways = gateways
        self._store = store
        self._every = every
        self._found_within = found_within
        self._open: list[_Sent] = []
        self.whole = 0
        """Probes whose trace was found with every one of the hops."""
        self.missed: list[str] = []
        """What was missing of each of the others."""

    @property
    def query(self) -> str:
        """What looks up the trace of a probe, in the store."""
        return f"GET {self._store.url('TRACE_ID').removeprefix(self._store.base_url)}"

    @contextlib.contextmanager
    def running(self) -> Iterator[Probes]:
        """Sends and looks up while the context is open."""
        loops = [
            Loop("probes", lambda: self._after(self._send, self._every), _logger),
            Loop("probes' traces", lambda: self._after(self._look_up, min(self._every, 1.0)), _logger),
        ]
        for loop in loops:
            loop.start()
        try:
            yield self
        finally:
            for loop in loops:
                loop.stop(2 * _ANSWER_SECONDS)

    def settle(self) -> None:
        """Once nothing is sent any more: looks up what is still open, until each is whole or missed."""
        while self._open:
            self._look_up()
            time.sleep(min(self._every, 1.0))

    @staticmethod
    def _after(work: Callable[[], None], every: float) -> float:
        work()
        return every

    def _send(self) -> None:
        gateway = self._gateways[(self.whole + len(self.missed) + len(self._open)) % len(self._gateways)]
        sent = _Sent(trace_id=secrets.token_hex(16), span_id=secrets.token_hex(8), at=time.monotonic())
        # One that fails is an error of the version, not a hole in its traces: the gate on errors counts it.
        with contextlib.suppress(httpx.HTTPError):
            answer = submit(gateway, sent.trace_id, sent.span_id)
            if answer.is_success:
                self._open.append(sent)

    def _look_up(self) -> None:
        for sent in list(self._open):
            try:
                match_hops(self._store.trace(sent.trace_id), sent.span_id, self._hops)
            except Exception as reason:  # whatever it is, the others are looked up as well
                if time.monotonic() - sent.at < self._found_within:
                    continue
                what = reason.what if isinstance(reason, CheckFailure) else f"{type(reason).__name__}: {reason}"
                self.missed.append(f"{sent.trace_id}: {what}")
            else:
                self.whole += 1
            self._open.remove(sent)
