"""A span, a metric and a log line for each run of a use case, and the metrics of the stored tasks."""

import logging
import math
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

from opentelemetry.trace import Span
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from contracts import span_attributes
from contracts.service_metrics import (
    OLDEST_TASK,
    OUTCOME_FAILURE,
    SYNTHETIC,
    TASK_DURATION,
    TASK_OPERATIONS,
    TASKS,
)
from contracts.tasks import SYNTHETIC_TEST, TaskStatus
from lean_tracing import TraceManager
from service.common.errors import Unavailable
from service.common.span_attributes import OWN
from service.common.stored import StoredTraces
from service.task_manager.domain import Task
from service.task_manager.use_cases import Outcome, Tasks

_UNCHANGED = frozenset({Outcome.DUPLICATE, Outcome.UNKNOWN_TASK, Outcome.OUT_OF_ORDER, Outcome.CONFLICT})
_WINDOWS = {f"{hours}h": timedelta(hours=hours) for hours in (1, 6, 24, 168)}
_CACHE_SECONDS = 5.0
_LIFE_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
_logger = logging.getLogger(__name__)


class ObservedOperation:
    """Writes one run of a use case to its span and its metrics; implements `Operation`."""

    def __init__(self, span: Span, traces: TraceManager) -> None:
        self._span = span
        self._traces = traces
        self.outcome: str = OUTCOME_FAILURE
        self.seconds: float | None = None
        self.synthetic = ""

    def event(self, name: str) -> None:
        """A lifecycle event on the span."""
        self._span.add_event(name)

    def task(self, task: Task) -> None:
        """The task's status on the span; for a task at its end also its duration."""
        self._span.set_attribute(span_attributes.TASK_STATUS, task.status)
        self._span.set_attribute(span_attributes.TASK_USER_HASH, self._traces.redactor.hash(task.user_email))
        self.synthetic = SYNTHETIC_TEST if task.is_synthetic else ""
        if task.status is not TaskStatus.NEW:
            self.seconds = (task.updated_at - task.created_at).total_seconds()
            self._span.set_attribute(span_attributes.TASK_DURATION_MS, round(self.seconds * 1000, 3))

    def ended(self, outcome: str) -> None:
        """Sets the outcome of span and metric."""
        self.outcome = outcome
        self._span.set_attribute(OWN.outcome, outcome)


class TelemetryObserver:
    """Writes each run of a use case to a span, a metric and the log; implements `Observer`."""

    def __init__(self, traces: TraceManager, registry: CollectorRegistry, stored: StoredTraces | None = None) -> None:
        self._traces = traces
        self._stored = stored or StoredTraces()
        self._operations = Counter(
            TASK_OPERATIONS, "Runs of a use case, by outcome.", ("operation", "outcome"), registry=registry
        )
        self._life = Histogram(
            TASK_DURATION,
            "Time from a task's creation to its end.",
            ("status", SYNTHETIC),
            buckets=_LIFE_SECONDS,
            registry=registry,
        )

    @contextmanager
    def operation(self, name: str, task_id: uuid.UUID) -> Iterator[ObservedOperation]:
        """A span around a use case."""
        with self._traces.span(name, attributes={span_attributes.TASK_ID: str(task_id)}) as span:
            operation = ObservedOperation(span, self._traces)
            try:
                yield operation
            finally:
                self._operations.labels(name, operation.outcome).inc()
            if operation.outcome in (Outcome.COMPLETED, Outcome.FAILED) and operation.seconds is not None:
                life = self._life.labels(operation.outcome, operation.synthetic)
                life.observe(operation.seconds, self._stored.exemplar(span=span))
            _logger.log(
                logging.WARNING if operation.outcome in _UNCHANGED else logging.INFO,
                "%s: %s",
                name,
                operation.outcome,
                extra={span_attributes.TASK_ID: str(task_id)},
            )


class TaskCounts(Collector):
    """Tasks by status and window, and the oldest age; no metrics while the database is unavailable.

    One query serves all scrapes of the next seconds, so that more scrapers put no more load on the database.
    """

    def __init__(self, tasks: Tasks, clock: Callable[[], float] = time.monotonic) -> None:
        self._tasks = tasks
        self._clock = clock
        self._lock = threading.Lock()
        self._queried_at = -math.inf
        self._counts: Sequence[Mapping[TaskStatus, int]] = ()
        self._oldest: float | None = None

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The metrics without values: registration queries no database."""
        return self._families()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The metrics with their values."""
        tasks, age = self._families()
        by_window, oldest = self._values()
        for window, counts in zip(_WINDOWS, by_window, strict=False):
            for status, count in counts.items():
                tasks.add_metric([status, window], count)
        if oldest is not None:
            age.add_metric([], oldest)
        return (tasks, age)

    def _values(self) -> tuple[Sequence[Mapping[TaskStatus, int]], float | None]:
        with self._lock:
            if self._clock() - self._queried_at >= _CACHE_SECONDS:
                try:
                    self._counts = self._tasks.count_by_status(list(_WINDOWS.values()))
                    self._oldest = self._tasks.oldest_open().total_seconds()
                except Unavailable:
                    self._counts, self._oldest = (), None
                self._queried_at = self._clock()
            return self._counts, self._oldest

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                TASKS, "Tasks of users created within the window, by status.", labels=["status", "window"]
            ),
            GaugeMetricFamily(OLDEST_TASK, "Age of the oldest task of status new; 0 without one."),
        )
