"""Answers a request to crawl, with the page or with the reason of the failure."""

import dataclasses
import logging
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from contracts import span_attributes
from contracts.service_metrics import CRAWLED_PAGES, FETCH_DURATION, OUTCOME_FAILED, UNREACHABLE_SITES
from contracts.tasks import TaskStatus
from lean_tracing import TraceManager
from service.common import messages
from service.common.kafka.received import Received
from service.common.messages import Outgoing, TaskRequest
from service.common.span_attributes import OWN
from service.crawler.fetch import Cause, FetchFailed, Page, host_of
from service.crawler.unreachable import UnreachableSites

_logger = logging.getLogger(__name__)

_LONGEST_REASON = 500
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class CrawlHandler:
    """Handles the messages of `requests-web-crawl`."""

    def __init__(
        self,
        fetch: Callable[[str], Page],
        publish: Callable[[Outgoing], None],
        traces: TraceManager,
        registry: CollectorRegistry,
        is_own: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """is_own: whether the stack serves the page at a URL itself."""
        self._fetch = fetch
        self._publish = publish
        self._traces = traces
        self._is_own = is_own
        self._unreachable = UnreachableSites()
        self._crawls = Counter(CRAWLED_PAGES, "Pages requested, by outcome.", ("outcome",), registry=registry)
        # Create the series at 0, so that rate() sees the first increment.
        for outcome in (TaskStatus.COMPLETED, TaskStatus.ERROR, OUTCOME_FAILED):
            self._crawls.labels(outcome)
        text = "Web sites without an answer since any web site answered, without those of the user with the most."
        Gauge(UNREACHABLE_SITES, text, registry=registry).set_function(lambda: self._unreachable.count)
        self._duration = Histogram(FETCH_DURATION, "Time to fetch a page.", buckets=_SECONDS, registry=registry)

    def __call__(self, received: Received) -> str:
        """Fetches the page, publishes the answer, and returns the outcome. Raises MalformedMessage or Unavailable."""
        request = messages.read_crawl_request(received.headers, received.value)
        with self._traces.span("crawl page", attributes={span_attributes.TASK_ID: str(request.id)}) as span:
            started = time.perf_counter()
            cause = None
            try:
                page = self._fetch(request.task.url)
                answer, outcome = messages.completed(request, dataclasses.asdict(page)), TaskStatus.COMPLETED
            except FetchFailed as error:
                # Only the task fails: the span records it, and the message is not retried.
                self._traces.fail(span, error)
                answer, outcome = messages.failed(request, str(error)), TaskStatus.ERROR
                cause = error.cause
                # Within the span, so that the line has its trace and the span's link to its logs leads to it.
                _logger.warning("page not fetched: %s", error, extra={span_attributes.TASK_ID: str(request.id)})
            else:
                _logger.info("page fetched", extra={span_attributes.TASK_ID: str(request.id)})
            self._duration.observe(time.perf_counter() - started)
            span.set_attribute(OWN.outcome, outcome)
            self._publish(answer)
        self._count(request.task, outcome, cause)
        return outcome

    def _count(self, task: TaskRequest, outcome: TaskStatus, cause: Cause | None) -> None:
        self._crawls.labels(OUTCOME_FAILED if cause is Cause.STACK else outcome).inc()
        if self._is_own(task.url) or cause is Cause.STACK:
            return
        if cause is Cause.UNREACHABLE:
            self._unreachable.add_failure(task.user_email.lower(), host_of(task.url))
        else:
            self._unreachable.add_answer()

    def abandon(self, received: Received, reason: str) -> None:
        """Ends the task of a dead-lettered request, so that it does not stay new for ever. Raises Unavailable."""
        task_id, _ = messages.task_of(received.headers)
        if task_id is not None:
            self._publish(messages.abandoned(task_id, f"the page could not be crawled: {reason}"[:_LONGEST_REASON]))
            self._crawls.labels(TaskStatus.ERROR).inc()
