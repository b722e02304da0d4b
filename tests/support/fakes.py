"""Fakes of the task-manager's ports, and the use cases with all of them."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from contracts.tasks import Position, TaskStatus
from service.common.errors import Rejected, Unavailable
from service.task_manager.domain import Task
from service.task_manager.kafka import StatusHandler
from service.task_manager.use_cases import Tasks

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class FakeTasks:
    """Repository and unit of work in one."""

    def __init__(self) -> None:
        self.stored: dict[uuid.UUID, Task] = {}
        self.is_available = True

    @contextmanager
    def begin(self) -> Iterator["FakeTasks"]:
        if not self.is_available:
            raise Unavailable("the database is unavailable")
        backup = dict(self.stored)
        try:
            yield self
        except BaseException:
            self.stored = backup
            raise

    def add(self, task: Task) -> bool:
        is_new = task.id not in self.stored
        self.stored.setdefault(task.id, task)
        return is_new

    def get(self, task_id: uuid.UUID, *, for_update: bool = False) -> Task | None:
        return self.stored.get(task_id)

    def update(self, task: Task) -> None:
        self.stored[task.id] = task

    def list(
        self, *, limit: int, after: Position | None = None, status: TaskStatus | None = None, owner: str | None = None
    ) -> Sequence[Task]:
        newest_first = sorted(self.stored.values(), key=lambda task: (task.created_at, task.id), reverse=True)
        later = [task for task in newest_first if after is None or (task.created_at, task.id) < after]
        return [task for task in later if status in (None, task.status) and owner in (None, task.owner)][:limit]

    def count_by_status(self, since: Sequence[datetime]) -> Sequence[Mapping[TaskStatus, int]]:
        return [
            {
                status: sum(
                    task.status is status and task.created_at >= time and not task.is_synthetic
                    for task in self.stored.values()
                )
                for status in TaskStatus
            }
            for time in since
        ]

    def delete_ended(self, created_before: datetime, *, limit: int, only_synthetic: bool) -> int:
        ended = [
            task
            for task in sorted(self.stored.values(), key=lambda task: task.created_at)
            if task.created_at < created_before
            and task.status is not TaskStatus.NEW
            and (task.is_synthetic or not only_synthetic)
        ][:limit]
        for task in ended:
            del self.stored[task.id]
        return len(ended)

    def delete_of_user(self, user_email: str, *, limit: int) -> int:
        ended = [task.id for task in self._of_user(user_email) if task.status is not TaskStatus.NEW][:limit]
        for task_id in ended:
            del self.stored[task_id]
        return len(ended)

    def count_of_user(self, user_email: str) -> int:
        return len(self._of_user(user_email))

    def _of_user(self, user_email: str) -> Sequence[Task]:
        return [task for task in self.stored.values() if task.user_email.lower() == user_email.lower()]

    def oldest(self, status: TaskStatus) -> datetime | None:
        return min((task.created_at for task in self.stored.values() if task.status is status), default=None)


class FakePublisher:
    """Remembers the tasks whose crawl was requested."""

    def __init__(self) -> None:
        self.requested: list[Task] = []
        self.is_available = True
        self.is_rejecting = False

    def request_crawl(self, task: Task) -> None:
        if not self.is_available:
            raise Unavailable("Kafka is unavailable")
        if self.is_rejecting:
            raise Rejected("Kafka does not take the message")
        self.requested.append(task)


class FakeObserver:
    """Observer and operation in one; remembers all calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    @contextmanager
    def operation(self, name: str, task_id: uuid.UUID) -> Iterator["FakeObserver"]:
        self.calls.append(name)
        yield self

    def event(self, name: str) -> None:
        self.calls.append(name)

    def task(self, task: Task) -> None:
        self.calls.append(f"is {task.status}")

    def ended(self, outcome: str) -> None:
        self.calls.append(outcome)


class FakeTaskManager:
    """The use cases and the handler of messages, with fakes for all ports."""

    def __init__(self) -> None:
        self.tasks, self.publisher, self.observer = FakeTasks(), FakePublisher(), FakeObserver()
        self.cases = Tasks(self.tasks, self.publisher, self.observer, clock=lambda: NOW + timedelta(seconds=3))
        self.handle = StatusHandler(self.cases)
