"""The use cases of the task-manager, with fakes for their ports."""

import dataclasses
import uuid
from datetime import timedelta

import pytest

from contracts.tasks import TaskStatus
from service.common.errors import Unavailable
from service.task_manager.domain import NewTask
from service.task_manager.use_cases import Outcome
from tests.support.fakes import FakeTaskManager

TASK_ID = uuid.UUID("11111111-2222-4333-8444-555555555555")
NEW = NewTask(id=TASK_ID, user_email="ada@example.com", user_query="?", url="http://site.example/")


@pytest.fixture
def manager() -> FakeTaskManager:
    return FakeTaskManager()


def test_create_stores_then_requests(manager: FakeTaskManager) -> None:
    assert manager.cases.create(NEW) is Outcome.CREATED
    assert manager.publisher.requested == [manager.tasks.stored[TASK_ID]]
    assert manager.observer.calls == ["create task", "is new", "task.stored", "task.crawl_requested", "created"]


def test_create_again_is_a_duplicate_and_requests_again_only_while_new(manager: FakeTaskManager) -> None:
    manager.cases.create(NEW)
    assert manager.cases.create(NEW) is Outcome.DUPLICATE
    assert len(manager.publisher.requested) == 2
    manager.cases.complete(TASK_ID, "page")
    assert manager.cases.create(NEW) is Outcome.DUPLICATE
    assert len(manager.publisher.requested) == 2
    assert manager.tasks.stored[TASK_ID].status is TaskStatus.COMPLETED


def test_the_next_attempt_publishes_a_request_that_failed(manager: FakeTaskManager) -> None:
    manager.publisher.is_available = False
    with pytest.raises(Unavailable):
        manager.cases.create(NEW)
    manager.publisher.is_available = True
    assert manager.cases.create(NEW) is Outcome.DUPLICATE
    assert len(manager.publisher.requested) == 1


def test_ends_are_idempotent_and_visible_when_out_of_order(manager: FakeTaskManager) -> None:
    assert manager.cases.complete(TASK_ID, "page") is Outcome.UNKNOWN_TASK
    manager.cases.create(NEW)
    assert manager.cases.complete(TASK_ID, "page") is Outcome.COMPLETED
    assert manager.cases.complete(TASK_ID, "other") is Outcome.DUPLICATE
    assert manager.cases.fail(TASK_ID, "late") is Outcome.OUT_OF_ORDER
    assert manager.tasks.stored[TASK_ID].result == "page"
    assert manager.observer.calls[-1] == "out_of_order"


def test_list_and_count(manager: FakeTaskManager) -> None:
    manager.cases.create(NEW)
    task = manager.cases.get(TASK_ID)
    assert task is not None
    assert manager.cases.list(limit=10) == [task]
    assert manager.cases.list(limit=10, after=(task.created_at, task.id)) == []
    assert manager.cases.list(limit=10, status=TaskStatus.ERROR) == []
    recent, none = manager.cases.count_by_status([timedelta(hours=1), timedelta(hours=-1)])
    assert (recent[TaskStatus.NEW], recent[TaskStatus.ERROR], none[TaskStatus.NEW]) == (1, 0, 0)


def test_age_of_the_oldest_open_task(manager: FakeTaskManager) -> None:
    assert manager.cases.oldest_open() == timedelta()
    manager.cases.create(NEW)
    first = manager.cases.oldest_open()
    assert timedelta() <= first < timedelta(minutes=1)
    manager.tasks.stored[TASK_ID] = dataclasses.replace(
        manager.tasks.stored[TASK_ID], created_at=manager.tasks.stored[TASK_ID].created_at - timedelta(hours=1)
    )
    assert manager.cases.oldest_open() >= timedelta(hours=1)
    manager.cases.complete(TASK_ID, "page")
    assert manager.cases.oldest_open() == timedelta()


def test_another_request_under_the_same_id_changes_nothing(manager: FakeTaskManager) -> None:
    manager.cases.create(NEW)
    stored = manager.tasks.stored[TASK_ID]
    assert manager.cases.create(dataclasses.replace(NEW, user_query="something else")) is Outcome.CONFLICT
    assert manager.tasks.stored[TASK_ID] == stored
    assert len(manager.publisher.requested) == 1
