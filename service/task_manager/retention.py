"""Deletes ended tasks whose time is over, in batches."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from contracts.metrics import REASON
from contracts.service_metrics import SYNTHETIC, TASKS_DELETED
from lean_tracing import TraceManager
from lean_tracing.background import Loop
from service.common.errors import Unavailable
from service.common.span_attributes import OWN
from service.task_manager.use_cases import Tasks

SYNTHETIC_AGE: Final = timedelta(hours=1)
"""Time for which a task of the probe or of a smoke check is kept."""
BATCH: Final = 500
"""Most tasks that one statement deletes: it takes some ms, and holds no lock for longer."""
_EVERY_SECONDS: Final = 300.0
_PAUSE_SECONDS: Final = 0.5
"""Between two batches, so that the deletion of a large table leaves room for the work of users."""
_RETENTION: Final = "retention"
_STOP_SECONDS: Final = 1.0
_logger = logging.getLogger(__name__)


class Retention:
    """Deletes in the background. Each replica does; they take different tasks."""

    def __init__(
        self,
        tasks: Tasks,
        age: timedelta | None,
        traces: TraceManager,
        registry: CollectorRegistry,
        *,
        prepare: Callable[[], object] = lambda: None,
        on_error: Callable[[], object] = lambda: None,
    ) -> None:
        """Creates it; nothing is deleted before `start`.

        Args:
            tasks: the tasks.
            age: time for which a user's ended task is kept; None: for ever.
            traces: get a span for each batch.
            registry: gets the counter of the deleted tasks.
            prepare: brings the schema up to date, without spans: that is no part of the deletion.
            on_error: called after each failure.
        """
        self._tasks = tasks
        self._age = age
        self._traces = traces
        self._prepare = prepare
        self._deleted = Counter(TASKS_DELETED, "Tasks deleted, by reason.", (REASON,), registry=registry)
        for reason in (_RETENTION, SYNTHETIC):
            self._deleted.labels(reason)
        self._loop = Loop("retention", self.delete, _logger, on_error)

    def start(self) -> None:
        """Starts to delete."""
        self._loop.start()

    def stop(self) -> None:
        """Ends it; a statement in progress is rolled back or done."""
        self._loop.stop(_STOP_SECONDS)

    def delete(self) -> float:
        """Deletes one batch of each kind; returns the seconds until the next ones."""
        try:
            with self._traces.suppressed():
                self._prepare()
            with self._traces.span("delete ended tasks") as span:
                counts = {SYNTHETIC: self._tasks.delete_ended(SYNTHETIC_AGE, limit=BATCH, only_synthetic=True)}
                if self._age is not None:
                    counts[_RETENTION] = self._tasks.delete_ended(self._age, limit=BATCH)
                span.set_attribute(OWN.db_rows_affected, sum(counts.values()))
        except Unavailable as error:
            # The health check and its alert report the database; what is left is deleted later.
            _logger.warning("no tasks were deleted: %s", error)
            return _EVERY_SECONDS
        for reason, count in counts.items():
            self._deleted.labels(reason).inc(count)
            if count:
                _logger.info("deleted %d tasks: %s", count, reason)
        return _PAUSE_SECONDS if BATCH in counts.values() else _EVERY_SECONDS
