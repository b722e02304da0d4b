"""The use cases of the task-manager. Each may run twice for one message and has its effect once."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from contracts.tasks import Position, TaskStatus
from service.task_manager.domain import IllegalTransition, NewTask, Task
from service.task_manager.ports import Observer, Publisher, UnitOfWork


class UseCase(StrEnum):
    """The name of a use case, on its span and its metric."""

    CREATE = "create task"
    COMPLETE = "complete task"
    FAIL = "fail task"


class Outcome(StrEnum):
    """The end of a use case; only the first three change a task."""

    CREATED = "created"
    COMPLETED = "completed"
    FAILED = "failed"
    DUPLICATE = "duplicate"
    UNKNOWN_TASK = "unknown_task"
    OUT_OF_ORDER = "out_of_order"
    CONFLICT = "conflict"


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
        """Stores the task, then publishes the request to crawl its page.

        When the task is already stored and still new, the request is published again: the run that stored the task may
        have ended before its request was acknowledged. A second answer to the same request changes nothing. When the
        task stored under this id is for another request, the result is a conflict, and the stored task stays.
        """
        with self._observer.operation(UseCase.CREATE, new.id) as operation:
            task = Task.create(new, self._clock())
            with self._unit_of_work.begin() as tasks:
                is_added = tasks.add(task)
                stored = task if is_added else tasks.get(new.id) or task
            operation.task(stored)
            if not stored.is_same_request(task):
                operation.ended(Outcome.CONFLICT)
                return Outcome.CONFLICT
            if is_added:
                operation.event("task.stored")
            if stored.status is TaskStatus.NEW:
                self._publisher.request_crawl(stored)
                operation.event("task.crawl_requested")
            outcome = Outcome.CREATED if is_added else Outcome.DUPLICATE
            operation.ended(outcome)
            return outcome

    def abandon(self, new: NewTask, error: str) -> Outcome:
        """Stores why a task will not be done, with the task if it is not stored; another task of this id stays."""
        task = Task.create(new, self._clock())
        with self._unit_of_work.begin() as tasks:
            stored = task if tasks.add(task) else tasks.get(new.id)
        return self.fail(new.id, error) if stored and stored.is_same_request(task) else Outcome.CONFLICT

    def complete(self, task_id: uuid.UUID, result: Any) -> Outcome:
        """Stores the page of a task."""
        return self._finish(
            UseCase.COMPLETE, task_id, Outcome.COMPLETED, lambda task: task.complete(result, self._clock())
        )

    def fail(self, task_id: uuid.UUID, error: str) -> Outcome:
        """Stores why a task failed."""
        return self._finish(UseCase.FAIL, task_id, Outcome.FAILED, lambda task: task.fail(error, self._clock()))

    def _finish(self, name: UseCase, task_id: uuid.UUID, success: Outcome, change: Callable[[Task], Task]) -> Outcome:
        with self._observer.operation(name, task_id) as operation, self._unit_of_work.begin() as tasks:
            outcome = success
            task = tasks.get(task_id, for_update=True)
            if task is None:
                outcome = Outcome.UNKNOWN_TASK
            else:
                try:
                    task = change(task)
                    tasks.update(task)
                    operation.event(f"task.{task.status}")
                except IllegalTransition as refusal:
                    is_repeated = refusal.current is refusal.requested
                    outcome = Outcome.DUPLICATE if is_repeated else Outcome.OUT_OF_ORDER
                operation.task(task)
            operation.ended(outcome)
            return outcome

    def get(self, task_id: uuid.UUID) -> Task | None:
        """The task, or None."""
        with self._unit_of_work.begin() as tasks:
            return tasks.get(task_id)

    def list(
        self, *, limit: int, after: Position | None = None, status: TaskStatus | None = None, owner: str | None = None
    ) -> Sequence[Task]:
        """Tasks, newest first; see `TaskRepository.list`."""
        with self._unit_of_work.begin() as tasks:
            return tasks.list(limit=limit, after=after, status=status, owner=owner)

    def count_by_status(self, windows: Sequence[timedelta]) -> Sequence[Mapping[TaskStatus, int]]:
        """For each window that ends now: the number of users' tasks of each status that were created in it."""
        now = self._clock()
        with self._unit_of_work.begin() as tasks:
            return tasks.count_by_status([now - window for window in windows])

    def delete_ended(self, age: timedelta, *, limit: int, only_synthetic: bool = False) -> int:
        """Deletes at most `limit` ended tasks that are older than `age`, and returns how many.

        A task that has not ended stays at any age: its answer would be dead-lettered.
        """
        with self._unit_of_work.begin() as tasks:
            return tasks.delete_ended(self._clock() - age, limit=limit, only_synthetic=only_synthetic)

    def oldest_open(self) -> timedelta:
        """Age of the oldest task of status `new`; zero without one."""
        with self._unit_of_work.begin() as tasks:
            created_at = tasks.oldest(TaskStatus.NEW)
        return max(self._clock() - created_at, timedelta()) if created_at else timedelta()
