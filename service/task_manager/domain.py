"""A crawl task and its transitions. Knows nothing of HTTP, Kafka, SQL or OpenTelemetry."""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from contracts.tasks import SYNTHETIC_USERS, TaskStatus

# COMPLETED and ERROR are final: a later message is a duplicate, or out of order.
_NEXT = {
    TaskStatus.NEW: frozenset({TaskStatus.COMPLETED, TaskStatus.ERROR}),
    TaskStatus.COMPLETED: frozenset[TaskStatus](),
    TaskStatus.ERROR: frozenset[TaskStatus](),
}


class IllegalTransition(Exception):
    """A task cannot go from its current status to the requested one."""

    def __init__(self, current: TaskStatus, requested: TaskStatus) -> None:
        super().__init__(f"a task that is {current} cannot become {requested}")
        self.current = current
        self.requested = requested


@dataclass(frozen=True, kw_only=True)
class NewTask:
    """A task to create."""

    id: uuid.UUID
    user_email: str
    user_query: str
    url: str
    """The page to crawl."""
    owner: str | None = None
    """The caller who submitted it; None if access control was off."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A request to crawl a page. `result` is JSON: the page, or the reason of the failure. Times are in UTC."""

    id: uuid.UUID
    user_email: str
    user_query: str
    url: str
    created_at: datetime
    updated_at: datetime
    status: TaskStatus = TaskStatus.NEW
    result: Any = None
    owner: str | None = None
    """The caller who submitted it; None if access control was off."""

    @classmethod
    def create(cls, new: NewTask, now: datetime) -> "Task":
        """A task of status `new`."""
        return cls(
            id=new.id,
            user_email=new.user_email,
            user_query=new.user_query,
            url=new.url,
            created_at=now,
            updated_at=now,
            owner=new.owner,
        )

    @property
    def is_synthetic(self) -> bool:
        """Whether it is a test of the stack, such as the probe sends, and no work of a user."""
        return self.user_email in SYNTHETIC_USERS

    def is_same_request(self, other: "Task") -> bool:
        """Whether both come from one request, regardless of their status."""
        return (self.user_email, self.user_query, self.url) == (other.user_email, other.user_query, other.url)

    def complete(self, result: Any, now: datetime) -> "Task":
        """The task with its page. Raises IllegalTransition."""
        return self._become(TaskStatus.COMPLETED, result, now)

    def fail(self, error: str, now: datetime) -> "Task":
        """The task with the reason of its failure. Raises IllegalTransition."""
        return self._become(TaskStatus.ERROR, {"error": error}, now)

    def _become(self, status: TaskStatus, result: Any, now: datetime) -> "Task":
        if status not in _NEXT[self.status]:
            raise IllegalTransition(self.status, status)
        # Clocks differ between processes, and a clock can be set back: no task ends before its creation.
        return replace(self, status=status, result=result, updated_at=max(now, self.updated_at))
