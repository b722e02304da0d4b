"""A crawl task and what may happen to it. Knows nothing of HTTP, Kafka, SQL or OpenTelemetry."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any


class TaskStatus(StrEnum):
    """Where a task is in its life."""

    NEW = "new"
    COMPLETED = "completed"
    ERROR = "error"


# The two ends are final: what arrives after them is a duplicate or out of order.
_NEXT = {
    TaskStatus.NEW: frozenset({TaskStatus.COMPLETED, TaskStatus.ERROR}),
    TaskStatus.COMPLETED: frozenset[TaskStatus](),
    TaskStatus.ERROR: frozenset[TaskStatus](),
}


class IllegalTransition(Exception):
    """A task cannot go from where it is to where it was sent."""

    def __init__(self, current: TaskStatus, wanted: TaskStatus) -> None:
        super().__init__(f"a task that is {current} cannot become {wanted}")
        self.current = current
        self.wanted = wanted


@dataclass(frozen=True, kw_only=True)
class Task:
    """A request to crawl a page. `result` is JSON: what the crawler found, or why it failed. Times are in UTC."""

    id: uuid.UUID
    user_email: str
    user_query: str
    original_url: str
    created_at: datetime
    updated_at: datetime
    status: TaskStatus = TaskStatus.NEW
    result: Any = None

    @classmethod
    def create(cls, task_id: uuid.UUID, *, user_email: str, user_query: str, original_url: str, at: datetime) -> Task:
        """A new task."""
        return cls(
            id=task_id,
            user_email=user_email,
            user_query=user_query,
            original_url=original_url,
            created_at=at,
            updated_at=at,
        )

    def asks_the_same(self, other: Task) -> bool:
        """Whether both were made from one request, whatever became of them since."""
        return (self.user_email, self.user_query, self.original_url) == (
            other.user_email,
            other.user_query,
            other.original_url,
        )

    def complete(self, result: Any, at: datetime) -> Task:
        """The task with its page. Raises IllegalTransition."""
        return self._become(TaskStatus.COMPLETED, result, at)

    def fail(self, error: str, at: datetime) -> Task:
        """The task with the reason of its failure. Raises IllegalTransition."""
        return self._become(TaskStatus.ERROR, {"error": error}, at)

    def _become(self, status: TaskStatus, result: Any, at: datetime) -> Task:
        if status not in _NEXT[self.status]:
            raise IllegalTransition(self.status, status)
        # Two processes' clocks, or one that was set back: no task ends before it was made.
        return replace(self, status=status, result=result, updated_at=max(at, self.updated_at))
