"""Probes: requests that the rollout sends itself. It looks each of their traces up in the store."""

import contextlib
import itertools
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from contracts.hops import HOPS, Hop
from lean_tracing.background import Loop
from stack.clients.traces import Span, TraceStoreClient
from stack.polling import CheckFailure
from stack.probe.match import match_hops
from stack.probe.request import OWN_PAGE, TaskFailed, completed_task, not_sampled, submit

_ANSWER_SECONDS: Final = 10.0
_LOOK_UP_SECONDS: Final = 1.0
_LATER: Final = 1.5
"""Each look-up of a trace that is not whole waits this many times as long as the one before it."""
_LONGEST_WAIT: Final = 1 / 8
"""Of the time after which a trace counts as missed."""
_TASK_SECONDS: Final = 120.0
"""The time that a task may take. A slow stack has late spans, which is no gap in a trace."""
_FAILED_TRACES: Final = 5
_MOST_TRACES: Final = 500
"""The traces that are kept, the latest: a stage may last a week."""
_logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class _Probe:
    trace_id: str
    span_id: str
    gateway: str
    task_id: str
    ended: float
    """When its task ended, or must have ended; in seconds of the monotonic clock."""
    is_open: bool = True
    """Whether the task is not known to have ended."""
    problem: str | None = None
    """What the trace misses; empty if it is whole, None while that is not known."""
    is_answered: bool = True
    """Whether the problem is the trace's; otherwise the store did not answer."""
    wait: float
    """Seconds from the last look-up to the next one."""
    next_look_up: float = 0.0
    """In seconds of the monotonic clock."""


class Probes:
    """Sends one request after the other to the gateways in turn, and looks their traces up."""

    def __init__(
        self,
        gateways: Sequence[str],
        store: TraceStoreClient,
        *,
        every: float,
        hurry: float | None = None,
        stored_seconds: float,
        page: str = OWN_PAGE,
        key: str = "",
        hops: Sequence[Hop] = HOPS,
    ) -> None:
        """Prepares probes.

        Args:
            gateways: base URLs of the gateways.
            store: the trace store.
            every: seconds between two probes.
            hurry: the same as soon as a trace is missed, so that it is soon known whether more are; `every` if None.
            stored_seconds: a trace that is not whole this long after the end of its task counts as missed.
            page: URL of the page of the tasks.
            key: API key for the gateways; empty if they need none.
            hops: the hops that each trace must have.
        """
        self._hops = hops
        self._key = key
        self._page = page
        self._gateways = itertools.cycle(gateways)
        self._store = store
        self._every = every
        self._hurry = every if hurry is None else hurry
        self._stored_seconds = stored_seconds
        self._pending: deque[_Probe] = deque()
        """In the order in which they were sent, from the first one whose result is not known."""
        self.whole = 0
        """The number of probes whose trace has every hop, of those before the first one whose result is not known."""
        self.missed: list[str] = []
        """A message for each of these whose trace misses a hop."""
        self.unanswered: list[str] = []
        """A message for each of these about whose trace the store did not answer for long: no fault of a version."""
        self.traces: dict[str, list[Span]] = {}
        """Trace id → spans, of the latest probes whose trace has every hop, and of some that failed."""
        self._failed: deque[str] = deque(maxlen=_FAILED_TRACES)
        self._looking_up = threading.Lock()
        """A look-up may still be under way when `finish` begins, and no result may count twice."""
        self._is_missed = False
        """Whether a trace is known to be missed."""

    @property
    def _look_up_seconds(self) -> float:
        return min(self._every, _LOOK_UP_SECONDS)

    @property
    def query(self) -> str:
        """The query of the store that looks up the trace of a probe."""
        return f"GET {self._store.url('TRACE_ID').removeprefix(self._store.base_url)}"

    @contextlib.contextmanager
    def run(self) -> Iterator["Probes"]:
        """Sends probes and looks their traces up while the context is open."""
        loops = [
            Loop("probes", self._send_next, _logger),
            Loop("probes' traces", self._look_up_next, _logger),
        ]
        for loop in loops:
            loop.start()
        try:
            yield self
        finally:
            for loop in loops:
                loop.stop(2 * _ANSWER_SECONDS)

    def finish(self) -> None:
        """Looks up the pending traces, after the last probe, until each is whole, missed or not answered."""
        while self._pending:
            time.sleep(self._look_up_next())

    def look_up_failed(self) -> None:
        """Looks up the traces of the last probes that failed, as far as they are stored."""
        for trace_id in list(self._failed):
            with contextlib.suppress(Exception):  # any error of a look-up: the trace is an example only
                self.traces[trace_id] = self._store.trace(trace_id)

    def _send_next(self) -> float:
        """Sends a probe; returns the seconds until the next one."""
        self._send()
        return self._hurry if self._is_missed else self._every

    def _look_up_next(self) -> float:
        """Looks traces up; returns the seconds until it does so again."""
        with self._looking_up:
            self._look_up()
        return self._look_up_seconds

    def _send(self) -> None:
        gateway = next(self._gateways)
        trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
        # A request that fails is an error of the version, not a gap in its traces: the check of errors counts it.
        try:
            answer = submit(gateway, trace_id, span_id, page=self._page, key=self._key)
            task_id = str(answer.raise_for_status().json()["id"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):  # the last three: not the gateway's JSON
            self._failed.append(trace_id)
            return
        ended = time.monotonic() + _TASK_SECONDS
        self._pending.append(
            _Probe(
                trace_id=trace_id,
                span_id=span_id,
                gateway=gateway,
                task_id=task_id,
                ended=ended,
                wait=self._look_up_seconds,
            )
        )

    def _look_up(self) -> None:
        for probe in list(self._pending):
            if probe.problem is not None or time.monotonic() < probe.next_look_up:
                continue
            probe.next_look_up = time.monotonic() + probe.wait
            probe.wait = max(self._look_up_seconds, min(probe.wait * _LATER, self._stored_seconds * _LONGEST_WAIT))
            try:
                spans = self._store.trace(probe.trace_id)
                match_hops(spans, probe.span_id, self._hops)
            except httpx.HTTPError as error:  # the store does not answer, which says nothing about the trace
                if self._is_due(probe, patience=2):
                    probe.is_answered = False
                    probe.problem = f"{probe.trace_id}: {type(error).__name__}: {error}"
            except Exception as error:  # any error of one look-up: the others are still done
                if not self._is_due(probe):
                    continue
                problem = error.what if isinstance(error, CheckFailure) else f"{type(error).__name__}: {error}"
                probe.problem = f"{probe.trace_id}: {problem}"
                self._is_missed = True
            else:
                probe.problem = ""
                self.traces[probe.trace_id] = spans
                if len(self.traces) > _MOST_TRACES:
                    del self.traces[next(iter(self.traces))]
        self._count()

    def _count(self) -> None:
        """Counts results in the order of the probes.

        A whole trace is seen within seconds, a missed one only when its time is over. In the order of their results,
        the first would all be whole, and a stage could be successful before a trace can be missed.
        """
        while self._pending and self._pending[0].problem is not None:
            probe = self._pending.popleft()
            if probe.problem:
                (self.missed if probe.is_answered else self.unanswered).append(probe.problem)
            else:
                self.whole += 1

    def _is_due(self, probe: _Probe, *, patience: int = 1) -> bool:
        """Whether the trace must be whole by now, or has had to be for some times as long."""
        if probe.is_open and self._has_ended(probe):
            probe.is_open, probe.ended = False, min(probe.ended, time.monotonic())
        return time.monotonic() >= probe.ended + patience * self._stored_seconds

    def _has_ended(self, probe: _Probe) -> bool:
        try:
            return bool(completed_task(probe.gateway, probe.task_id, key=self._key, headers=not_sampled()))
        except TaskFailed:
            return True
        except Exception:  # no answer, or not the gateway's JSON: the task may still run
            return False
