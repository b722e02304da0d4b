"""What the task-manager does. Every use case may run twice on the same message and has its effect once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from service.task_manager.domain import IllegalTransition, Task, TaskStatus
from service.task_manager.ports import Observer, Publisher, UnitOfWork


class Outcome(StrEnum):
    """How a use case ended; all but the first three say that nothing changed."""

    CREATED = "created"
    COMPLETED = "completed"
    FAILED = "failed"
    DUPLICATE = "duplicate"
    UNKNOWN_TASK = "unknown_task"
    OUT_OF_ORDER = "out_of_order"
    CONFLICT = "conflict"


@dataclass(frozen=True, kw_only=True)
class NewTask:
    """What is to be created."""

    id: uuid.UUID
    user_email: str
    user_query: str
    original_url: str


def utc_now() -> datetime:
    """The current time."""
    return datetime.now(UTC)


class Tasks:
    """The use cases."""

    def __init__(
        self,
        unit_of_work: UnitOfWork,
        publisher: Publisher,
        observer: Observer,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._publisher = publisher
        self._observer = observer
        self._clock = clock

    def create(self, new: NewTask) -> Outcome:
        """Stores the task, then has its page fetched.

        A task stored already but still new is requested again: the run that stored it may have ended before its request
        was safe. Of a second answer nothing changes. A task stored under this id that asks for something else is a
        conflict: the one that came first stays.
        """
        with self._observer.operation("create task", new.id) as operation:
            task = self._task(new)
            with self._unit_of_work.begin() as tasks:
                added = tasks.add(task)
                stored = task if added else tasks.get(new.id) or task
            operation.task(stored)
            if not stored.asks_the_same(task):
                operation.ended(Outcome.CONFLICT)
                return Outcome.CONFLICT
            if added:
                operation.event("task.stored")
            if stored.status is TaskStatus.NEW:
                self._publisher.request_crawl(stored)
                operation.event("task.crawl_requested")
            outcome = Outcome.CREATED if added else Outcome.DUPLICATE
            operation.ended(outcome)
            return outcome

    def abandon(self, new: NewTask, error: str) -> Outcome:
        """Stores why a task will not be done, and the task where it is not stored; another one of its id stays."""
        task = self._task(new)
        with self._unit_of_work.begin() as tasks:
            stored = task if tasks.add(task) else tasks.get(new.id)
        return self.fail(new.id, error) if stored and stored.asks_the_same(task) else Outcome.CONFLICT

    def complete(self, task_id: uuid.UUID, result: Any) -> Outcome:
        """Stores the page of a task."""
        return self._finish(
            "complete task", task_id, Outcome.COMPLETED, lambda task: task.complete(result, self._clock())
        )

    def fail(self, task_id: uuid.UUID, error: str) -> Outcome:
        """Stores why a task failed."""
        return self._finish("fail task", task_id, Outcome.FAILED, lambda task: task.fail(error, self._clock()))

    def _task(self, new: NewTask) -> Task:
        return Task.create(
            new.id,
            user_email=new.user_email,
            user_query=new.user_query,
            original_url=new.original_url,
            at=self._clock(),
        )

    def _finish(self, name: str, task_id: uuid.UUID, done: Outcome, change: Callable[[Task], Task]) -> Outcome:
        with self._observer.operation(name, task_id) as operation, self._unit_of_work.begin() as tasks:
            outcome = done
            task = tasks.get(task_id, for_update=True)
            if task is None:
                outcome = Outcome.UNKNOWN_TASK
            else:
                try:
                    task = change(task)
                    tasks.update(task)
                    operation.event(f"task.{task.status}")
                except IllegalTransition as refused:
                    same = refused.current is refused.wanted
                    outcome = Outcome.DUPLICATE if same else Outcome.OUT_OF_ORDER
                operation.task(task)
            operation.ended(outcome)
            return outcome

    def get(self, task_id: uuid.UUID) -> Task | None:
        """The task, or None."""
        with self._unit_of_work.begin() as tasks:
            return tasks.get(task_id)

    def list(
        self, *, limit: int, after: tuple[datetime, uuid.UUID] | None = None, status: TaskStatus | None = None
    ) -> Sequence[Task]:
        """Tasks, newest first; after: time of creation and id of the task before the first one wanted."""
        with self._unit_of_work.begin() as tasks:
            return tasks.list(limit=limit, after=after, status=status)

    def count_by_status(self, windows: Sequence[timedelta]) -> Sequence[Mapping[TaskStatus, int]]:
        """For each length of time until now: how many of the tasks created in it have every status."""
        now = self._clock()
        with self._unit_of_work.begin() as tasks:
            return tasks.count_by_status([now - window for window in windows])

    def oldest_open(self) -> timedelta:
        """Age of the oldest task that has not come to its end; zero where there is none."""
        with self._unit_of_work.begin() as tasks:
            created = tasks.oldest(TaskStatus.NEW)
        return max(self._clock() - created, timedelta()) if created else timedelta()
