"""The ports of the use cases. Each method may raise `Unavailable`: the work is then tried again later."""

import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from contracts.tasks import Position, TaskStatus
from service.task_manager.domain import Task


class TaskRepository(Protocol):
    """Tasks, inside one transaction."""

    def add(self, task: Task) -> bool:
        """Stores a new task. False if its id is already stored: nothing changes."""

    def get(self, task_id: uuid.UUID, *, for_update: bool = False) -> Task | None:
        """The task. for_update: locked against other changes until the transaction ends."""

    def update(self, task: Task) -> None:
        """Stores the task's status, result and time of change."""

    def list(
        self, *, limit: int, after: Position | None = None, status: TaskStatus | None = None, owner: str | None = None
    ) -> Sequence[Task]:
        """Tasks, newest first.

        after: the position before the first task to return; owner: whose tasks, by default those of all callers.
        """

    def count_by_status(self, since: Sequence[datetime]) -> Sequence[Mapping[TaskStatus, int]]:
        """For each time: the number of users' tasks of each status that were created since then, zero included."""

    def oldest(self, status: TaskStatus) -> datetime | None:
        """Time of creation of the oldest task of this status; None without one."""

    def delete_ended(self, created_before: datetime, *, limit: int, only_synthetic: bool) -> int:
        """Deletes at most `limit` ended tasks, the oldest first, and returns how many. Skips locked ones."""

    def delete_of_user(self, user_email: str, *, limit: int) -> int:
        """Deletes at most `limit` ended tasks of a user, and returns how many. Case does not count."""

    def count_of_user(self, user_email: str) -> int:
        """The number of a user's tasks."""


class UnitOfWork(Protocol):
    """Transactions."""

    def begin(self) -> AbstractContextManager[TaskRepository]:
        """A transaction: committed when the block ends, rolled back when it raises."""


class Publisher(Protocol):
    """Requests to the crawler."""

    def request_crawl(self, task: Task) -> None:
        """Returns when the request cannot get lost."""


class Operation(Protocol):
    """One run of a use case, as an observer follows it."""

    def event(self, name: str) -> None:
        """A step of the run is done."""

    def task(self, task: Task) -> None:
        """The task in its current state."""

    def ended(self, outcome: str) -> None:
        """The run has ended with this outcome."""


class Observer(Protocol):
    """Makes the runs of use cases visible."""

    def operation(self, name: str, task_id: uuid.UUID) -> AbstractContextManager[Operation]:
        """Follows one run, and records an exception that leaves the block."""
