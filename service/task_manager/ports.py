"""What the use cases need from outside. Every method may raise `Unavailable`: the work is then tried again later."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from service.task_manager.domain import Task, TaskStatus


class TaskRepository(Protocol):
    """Tasks, inside one transaction."""

    def add(self, task: Task) -> bool:
        """Stores a new task; False where its id is stored already, and nothing changes."""

    def get(self, task_id: uuid.UUID, *, for_update: bool = False) -> Task | None:
        """The task; for_update: nobody else changes it until the transaction ends."""

    def update(self, task: Task) -> None:
        """Stores the task's status, result and time of change."""

    def list(
        self, *, limit: int, after: tuple[datetime, uuid.UUID] | None = None, status: TaskStatus | None = None
    ) -> Sequence[Task]:
        """Tasks, newest first; after: time of creation and id of the task before the first one wanted."""

    def count_by_status(self, since: Sequence[datetime]) -> Sequence[Mapping[TaskStatus, int]]:
        """For each time: how many of the tasks created from then on have every status, zero included."""

    def oldest(self, status: TaskStatus) -> datetime | None:
        """When the oldest task of that status was created; None where there is none."""


class UnitOfWork(Protocol):
    """Transactions."""

    def begin(self) -> AbstractContextManager[TaskRepository]:
        """A transaction: committed when the block ends, rolled back when it raises."""


class Publisher(Protocol):
    """The way to the crawler."""

    def request_crawl(self, task: Task) -> None:
        """Returns once the request is safe."""


class Operation(Protocol):
    """One run of a use case, as an observer follows it."""

    def event(self, name: str) -> None:
        """Something happened on the way."""

    def task(self, task: Task) -> None:
        """The task as it is now."""

    def ended(self, outcome: str) -> None:
        """How it ended."""


class Observer(Protocol):
    """Makes use cases visible from outside."""

    def operation(self, name: str, task_id: uuid.UUID) -> AbstractContextManager[Operation]:
        """Follows one run; an exception that leaves the block is seen."""
