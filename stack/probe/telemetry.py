"""What one request must leave in the stores, and the steps that look for it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from contracts import metrics
from contracts.hops import REQUEST
from contracts.services import GATEWAY
from stack.clients.loki import LokiClient
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient
from stack.polling import CheckFailure
from stack.probe.calls import CALLS_QUERY, Calls, count_calls, uncounted
from stack.probe.match import match_hops
from stack.probe.root import Collector, RootSpan
from stack.probe.search import is_searchable, task_query

_CLOCK_SECONDS: Final = 5.0
"""Allowance for clocks that differ, when a store is asked for a time range."""
_EXEMPLAR_SECONDS: Final = 300.0
"""Age of the oldest exemplar that counts. A Collector shows each exemplar for about one scrape, which may miss it."""


class Step(StrEnum):
    """A step of a proof; the first two are those of a user."""

    REQUEST = "request"
    TASK = "task"
    TRACE = "trace"
    SEARCH = "search"
    LOGS = "logs"
    METRICS = "metrics"
    EXEMPLARS = "exemplars"


@dataclass(frozen=True, kw_only=True)
class SentRequest:
    """A request that the gateway accepted."""

    trace_id: str
    span_id: str
    """Of the caller: the parent of the gateway's span."""
    task_id: str
    sent_at: float
    """In s since the epoch."""
    root: RootSpan
    is_root_accepted: bool
    """Whether a Collector has accepted the root span."""


@dataclass(frozen=True, kw_only=True)
class Awaited:
    """A condition that a step waits for."""

    what: str
    """As it reads after "waited 60 s for"."""
    holds: Callable[[], bool]
    """Looks once. Raises `CheckFailure` or `httpx.HTTPError` with the reason why the condition does not hold."""
    look_at: str


_REQUEST_SPAN: Final = (
    f'{metrics.SERVICE}="{REQUEST.service}",{metrics.SPAN_KIND}="SPAN_KIND_{REQUEST.kind}",'
    f'{metrics.SPAN_NAME}="{REQUEST.name}"'
)


@dataclass(frozen=True, kw_only=True)
class Telemetry:
    """The stores of a stack, and what one request leaves there."""

    collector: Collector
    traces: TraceStoreClient
    prometheus: PrometheusClient
    loki: LokiClient | None
    """None if the stack has no log store."""
    tail_sampling: bool
    """Whether exemplars come from the samplers, which know the traces that are stored."""

    @property
    def exemplars_query(self) -> str:
        """The series whose exemplars lead to traces of the request's route."""
        histogram = metrics.STORED_SPAN_DURATION if self.tail_sampling else metrics.SPAN_DURATION
        return f"{histogram}_bucket{{{_REQUEST_SPAN}}}"

    def calls(self) -> Calls:
        """Counts the calls of each hop.

        Raises:
            QueryError: Prometheus does not answer.
        """
        return count_calls(self.prometheus)

    def steps(self, request: SentRequest, previous: Calls | None) -> Mapping[Step, Awaited]:
        """Return what each step waits for.

        Args:
            request: whose telemetry is looked for.
            previous: the calls before the request; None if Prometheus did not answer.
        """
        steps = {
            Step.TRACE: Awaited(
                what=f"the whole trace {request.trace_id} in the trace store",
                holds=self._whole_trace(request),
                look_at=self.traces.url(request.trace_id),
            ),
            Step.SEARCH: Awaited(
                what=f"a search for the task {request.task_id} to find the trace {request.trace_id}",
                holds=lambda: self._is_searchable(request),
                look_at=str(dict(task_query(self.traces.backend, request.task_id))),
            ),
            Step.METRICS: Awaited(
                what="the span metrics to count a call of each hop after the request",
                holds=lambda: self._is_counted(previous),
                look_at=CALLS_QUERY,
            ),
            Step.EXEMPLARS: Awaited(
                what=f"an exemplar of {REQUEST} that leads to a stored trace",
                holds=lambda: self._has_exemplar(request),
                look_at=self.exemplars_query,
            ),
        }
        if self.loki is not None:
            query, loki = _logs_query(request), self.loki
            steps[Step.LOGS] = Awaited(
                what=f"a log line of the {GATEWAY} with the trace id {request.trace_id}",
                holds=lambda: self._has_lines(loki, query, request),
                look_at=query,
            )
        return steps

    def _whole_trace(self, request: SentRequest) -> Callable[[], bool]:
        """Return a look at the trace. Until a Collector has accepted the root span, each look sends it first."""
        is_root_accepted = request.is_root_accepted

        def is_whole() -> bool:
            nonlocal is_root_accepted
            if not is_root_accepted:
                self.collector.export(request.root)
                is_root_accepted = True
            spans = self.traces.trace(request.trace_id)
            match_hops(spans, request.span_id)
            if not any(span.span_id == request.span_id for span in spans):
                raise CheckFailure(f"the root span of {request.root.caller.service} is missing")
            return True

        return is_whole

    def _is_searchable(self, request: SentRequest) -> bool:
        query = task_query(self.traces.backend, request.task_id)
        if not is_searchable(self.traces, request.trace_id, query, start=request.sent_at, end=time.time()):
            raise CheckFailure("the search did not find it")
        return True

    def _has_lines(self, loki: LokiClient, query: str, request: SentRequest) -> bool:
        lines, _ = loki.query_range(query, start=request.sent_at - _CLOCK_SECONDS, end=_now(), limit=1)
        if not lines:
            raise CheckFailure("no line")
        return True

    def _is_counted(self, previous: Calls | None) -> bool:
        if previous is None:
            raise CheckFailure("unknown: Prometheus did not answer before the request")
        if missing := uncounted(self.calls(), previous):
            raise CheckFailure(f"no new call of {', '.join(map(str, missing))}")
        return True

    def _has_exemplar(self, request: SentRequest) -> bool:
        labels = self.prometheus.exemplars(self.exemplars_query, start=request.sent_at - _EXEMPLAR_SECONDS, end=_now())
        ids = [exemplar["trace_id"] for exemplar in labels if "trace_id" in exemplar]
        if not ids:
            raise CheckFailure("no exemplar")
        # With traffic, the exemplars are those of other requests: each must lead to a trace as well.
        trace_id = request.trace_id if request.trace_id in ids else ids[-1]
        if not self.traces.trace(trace_id):
            raise CheckFailure(f"the trace store does not have {trace_id}, the trace of an exemplar")
        return True


def _logs_query(request: SentRequest) -> str:
    return f'{{{metrics.SERVICE}="{GATEWAY}"}} | trace_id="{request.trace_id}"'


def _now() -> float:
    return time.time() + _CLOCK_SECONDS
